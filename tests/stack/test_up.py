"""What one `pulumi up` gives."""

from __future__ import annotations

import re

import httpx
import psutil
import pytest

from components.reconciliation import ports
from tests.stack.conftest import CHAT
from tests.stack.yard import CAPITAL, STACK, Yard

pytestmark = pytest.mark.stack


def test_the_endpoint_answers_as_soon_as_up_ends(yard: Yard) -> None:
    answer = httpx.post(
        f"{yard.endpoint(CHAT)}/chat/completions",
        json={"model": CHAT, "messages": [{"role": "user", "content": CAPITAL}], "temperature": 0, "max_tokens": 24},
        timeout=120,
    )
    assert answer.status_code == 200, answer.text
    assert "Paris" in answer.json()["choices"][0]["message"]["content"]


def test_outputs_say_where_what_and_how_it_stands(yard: Yard) -> None:
    chat = yard.outputs()[CHAT]
    assert chat["endpoint"] == yard.endpoint(CHAT)
    assert chat["models"] == [CHAT]
    assert yard.conditions(CHAT) == {"ResourceReady": "True", "InferenceReady": "True", "WorkspaceReady": "True"}
    for condition in chat["conditions"]:
        assert condition["reason"], condition
        assert condition["message"], condition
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", condition["lastTransitionTime"])
    assert {"weights", "load", "warmup", "deploy", "smokePrompt"} <= chat["phases"].keys(), chat["phases"]
    assert chat["versions"]["ray"]
    assert chat["where"].startswith("this machine")


def test_a_second_up_changes_nothing(yard: Yard) -> None:
    before = yard.engine_pid(CHAT)
    assert "to create" not in yard.pulumi("preview", "--expect-no-changes").expect().text
    text = yard.up().text
    assert re.search(r"\d+ unchanged", text), text
    assert not re.search(r"\d+ (created|updated|deleted|replaced)", text), text
    assert "no change" in text, "the printed plan should say so too"
    assert yard.engine_pid(CHAT) == before


def test_a_refresh_of_a_healthy_stack_finds_nothing(yard: Yard) -> None:
    text = yard.pulumi("refresh").expect().text
    assert not re.search(r"\d+ (updated|deleted)", text), text


def test_status_is_the_table_that_kubectl_would_print(yard: Yard) -> None:
    lines = yard.status().splitlines()
    assert lines[0].split() == ["NAME", "INSTANCE", "RESOURCEREADY", "INFERENCEREADY", "WORKSPACEREADY", "AGE"]
    assert re.fullmatch(r"chat +this machine, .+ +True +True +True +\d+[smh]", lines[1].rstrip()), lines[1]


def test_everything_listens_on_loopback_only(yard: Yard) -> None:
    own = {process.pid for process in yard.processes()}
    connections = psutil.net_connections("tcp")
    listening = [c.laddr for c in connections if c.status == psutil.CONN_LISTEN and c.pid in own and c.laddr]
    assert listening, "no port of Ray was found, so this test looks at nothing"
    outside = {address for address in listening if address.ip not in (ports.LOOPBACK, "::1", "::ffff:127.0.0.1")}
    assert not outside, f"reachable from other machines: {outside}"


def test_rays_dashboard_asks_for_the_token(yard: Yard) -> None:
    url = f"{yard.record.dashboard_url}/api/serve/applications/"
    assert httpx.get(url).status_code in (401, 403), "whoever reaches the dashboard can run code"


def test_no_secret_reaches_the_model_or_the_state(yard: Yard) -> None:
    passphrase = yard.environment["PULUMI_CONFIG_PASSPHRASE"]
    for process in yard.processes():
        assert passphrase not in process.environ().values(), f"{process.name()} has the stack's passphrase"
    token = (yard.folder / ".modelyard" / "local" / STACK / "ray-token").read_text()
    state = yard.pulumi("stack", "export").expect().text
    assert "modelyard" in state
    assert token not in state


def test_the_components_have_their_stable_types_and_parents(yard: Yard) -> None:
    urns = set(re.findall(r'"urn": "(urn:[^"]+)"', yard.pulumi("stack", "export").expect().text))
    chain = (
        "modelyard:index:Workspace$modelyard:index:InferenceService$pulumi-python:dynamic/modelyard:ServeApplication"
    )
    assert f"urn:pulumi:{STACK}::modelyard::modelyard:index:Workspace::chat" in urns
    assert f"urn:pulumi:{STACK}::modelyard::modelyard:index:Workspace$modelyard:index:GpuNodePool::chat-nodes" in urns
    assert f"urn:pulumi:{STACK}::modelyard::{chain}::chat-service-application" in urns
