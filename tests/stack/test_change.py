"""What a changed config does, and what it leaves alone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from components.reconciliation import ports
from tests.stack.broken_model import broken_model
from tests.stack.conftest import CHAT
from tests.stack.load import Streams
from tests.stack.yard import Yard, workspace

pytestmark = pytest.mark.stack


def test_a_second_workspace_comes_and_goes_while_the_first_streams(yard: Yard) -> None:
    engine = yard.engine_pid(CHAT)
    with Streams(yard, CHAT) as streams:
        yard.up(workspace(CHAT), workspace("second"))
        assert yard.conditions("second")["WorkspaceReady"] == "True"
        assert [model.id for model in yard.client("second").models.list()] == ["second"]
        yard.up(workspace(CHAT))
    assert not streams.failures, f"{len(streams.failures)} failed, the first: {streams.failures[0]}"
    assert streams.completed >= 8
    assert list(yard.outputs()) == [CHAT]
    assert list(yard.applications()) == [CHAT]
    assert yard.engine_pid(CHAT) == engine, "the first workspace was restarted for the second"


def test_a_failed_deployment_is_rolled_back_and_named_in_the_engines_own_words(yard: Yard, tmp_path: Path) -> None:
    engine = yard.engine_pid(CHAT)
    broken = {"weights": f"file:{broken_model(tmp_path / 'broken')}"}
    yard.configure(workspace(CHAT, options=broken), workspace("second"), workspace("third", options=broken))
    failed = yard.pulumi("up").expect_failure().text
    assert "workspace chat is not ready: WeightsCorrupt" in failed, failed
    assert "the config of the last successful update is served" in failed, failed
    assert "Traceback" not in failed, failed
    assert yard.engine_pid(CHAT) == engine, "the old engine should never have gone"
    assert yard.applications().keys() == {CHAT, "second"}, "the failed one is left behind, or a good one is lost"
    assert yard.client("second").models.retrieve("second").id == "second"
    yard.up(workspace(CHAT))
    assert yard.engine_pid(CHAT) == engine
    assert list(yard.applications()) == [CHAT]


def test_a_change_of_rays_port_is_announced_and_moves_the_endpoint(yard: Yard) -> None:
    [port] = ports.any_free(1)
    yard.configure(workspace(CHAT), ray={"servePort": port})
    preview = " ".join(yard.pulumi("preview").expect().text.split())
    assert "restart, Ray is replaced: servePort" in preview, preview
    assert f"http://127.0.0.1:{port}/chat/v1" in preview, preview
    yard.pulumi("up").expect()
    assert yard.outputs()[CHAT]["endpoint"] == f"http://127.0.0.1:{port}/chat/v1"
    assert yard.ready(CHAT)["status"] == "ready"
    yard.up(workspace(CHAT))
    assert yard.record.serve_port == port, "a port that is left open stays where it is"


def test_limits_and_sampling_defaults_change_in_place(yard: Yard) -> None:
    engine = yard.engine_pid(CHAT)
    changed = workspace(CHAT, config={"sampling": {"temperature": 0.0}, "maxWaitingRequests": 7})
    yard.configure(changed)
    preview = yard.pulumi("preview").expect().text
    assert re.search(r"in place:.*maxWaitingRequests", " ".join(preview.split())), preview
    yard.up(changed)
    assert yard.engine_pid(CHAT) == engine, "a change of defaults restarted the engine"
    ask = yard.client(CHAT).chat.completions.create
    answers = {
        ask(model=CHAT, messages=[{"role": "user", "content": "Tell me a story."}], max_tokens=16)
        .choices[0]
        .message.content
        for _ in range(3)
    }
    assert len(answers) == 1, "temperature 0 is the default now, so all answers are equal"
    yard.up(workspace(CHAT))


def test_an_application_that_somebody_removed_is_drift_and_comes_back(yard: Yard) -> None:
    with yard.dashboard() as dashboard:
        dashboard.remove(CHAT)
    assert "ApplicationGone" in yard.status()
    refreshed = yard.pulumi("refresh").expect().text
    assert re.search(r"1 updated", refreshed), refreshed
    state = yard.state(CHAT)
    assert "ApplicationGone" in state["drift"]
    assert [c["status"] for c in state["conditions"]] == ["True", "False", "False"], state["conditions"]
    assert "repair: ApplicationGone" in yard.pulumi("preview").expect().text
    yard.up()
    assert yard.conditions(CHAT)["WorkspaceReady"] == "True"
    assert yard.ready(CHAT)["status"] == "ready"


def test_a_config_that_somebody_changed_is_drift_and_is_put_right(yard: Yard) -> None:
    config = dict(yard.applications()[CHAT].config)
    deployment = dict(config["deployments"][0]) | {"max_ongoing_requests": 3}
    with yard.dashboard() as dashboard:
        dashboard.put({**config, "deployments": [deployment]})
    text = yard.up(refresh=True).text
    assert "1 updated" in text, text
    assert yard.applications()[CHAT].config["deployments"][0]["max_ongoing_requests"] != 3


def test_an_update_that_cannot_work_leaves_the_old_one_serving(yard: Yard) -> None:
    engine = yard.engine_pid(CHAT)
    yard.configure(workspace(CHAT, options={"weights": "file:/no/such/directory"}))
    failed = yard.pulumi("up").expect_failure()
    assert "/no/such/directory" in failed.text
    assert "WeightsNotFound" in failed.text
    assert yard.engine_pid(CHAT) == engine
    assert yard.client(CHAT).models.retrieve(CHAT).id == CHAT
    yard.configure(workspace(CHAT))
    yard.pulumi("preview", "--expect-no-changes").expect()
