"""API keys of a stack: only their hashes go anywhere, and what cannot be read or is missing is said."""

from __future__ import annotations

import hashlib
import json
import textwrap
from pathlib import Path

import pytest

from components.planning.plan import Plan, decide
from components.planning.preview import Before, preview
from components.planning.record import local_record, placed_record
from components.planning.render import application_config, canonical_json
from components.planning.report import Report
from components.planning.spec import RawConfig
from components.planning.table import render_table
from components.stack_file import load_file
from tests.planning.builders import LAPTOP, STACK_FILE, chat, plan_of

SECRET = "5f16f4c7f149ac4f9510d9cf8cf384038ad348b3bcdc01915f95de12df9d1b02"
HASH = hashlib.sha256(SECRET.encode()).hexdigest()
PHI = "workspaces: [{name: chat, inference: {preset: {name: phi-4}}}]"
KEYS = f"apiKeys: [{{name: alice, key: {SECRET}, requestsPerMinute: 60, models: [chat]}}]"
OPEN = "modelyard:apiKeys names no key"


def report_of(plan: Plan, before: Before | None = None) -> Report:
    return preview(plan, before or Before(), stack="dev")


def user_config(plan: Plan) -> dict[str, object]:
    (workspace,) = plan.workspaces
    return application_config(workspace)["deployments"][0]["user_config"]  # pyright: ignore


def test_a_service_gets_the_hash_of_a_key_and_its_limits() -> None:
    assert user_config(plan_of(f"{chat()}\n{KEYS}"))["api_keys"] == [
        {
            "name": "alice",
            "sha256": HASH,
            "models": ["chat"],
            "requests_per_minute": 60,
            "tokens_per_minute": None,
            "concurrent_requests": None,
            "admin": False,
        }
    ]


@pytest.mark.parametrize("target", ["local", "kubernetes"])
def test_a_key_stands_in_nothing_that_is_sent_shown_or_kept(target: str) -> None:
    config = f"{chat()}\n{KEYS}" if target == "local" else f"target: {target}\n{PHI}\n{KEYS}"
    plan = plan_of(config)
    report = report_of(plan)
    told = [
        repr(plan),
        json.dumps(report.as_json()),
        render_table(report),
        *(canonical_json(application_config(each)) for each in plan.workspaces),
        *(canonical_json(local_record(each)) for each in plan.workspaces),
        *(canonical_json(placed_record(each, target, "USD")) for each in plan.placed),
    ]
    assert not [text for text in told if SECRET in text]
    assert [text for text in told if HASH in text], "the hash is what a service knows a key by"


def test_keys_are_the_same_in_any_order_and_as_key_or_hash() -> None:
    one = f"apiKeys: [{{name: bob, sha256: {'b' * 64}}}, {{name: alice, key: {SECRET}}}]"
    other = f"apiKeys: [{{name: alice, sha256: {HASH.upper()}}}, {{name: bob, sha256: {'b' * 64}}}]"
    assert user_config(plan_of(f"{chat()}\n{one}")) == user_config(plan_of(f"{chat()}\n{other}"))


def test_endpoints_without_keys_are_warned_of_where_others_can_reach_them() -> None:
    assert [warning for warning in plan_of(f"target: aks\n{PHI}").warnings if OPEN in warning]
    assert not [warning for warning in plan_of(f"target: aks\n{PHI}\n{KEYS}").warnings if OPEN in warning]
    assert not [warning for warning in plan_of(chat()).warnings if OPEN in warning], "this machine is one's own"


def loaded(folder: Path, stack_file: str) -> RawConfig:
    (folder / STACK_FILE).write_text(textwrap.dedent(stack_file), encoding="utf-8")
    return load_file(folder, "dev")


def decided(raw: RawConfig) -> Plan:
    return decide(raw, LAPTOP, stack_file=STACK_FILE, code_version="c0de")


PLAIN = f"""
    config:
      modelyard:workspaces: [{{name: chat, inference: {{preset: {{name: smollm2-135m-instruct}}}}}}]
      modelyard:apiKeys:
        - name: alice
          key: {SECRET}
"""
ENCRYPTED = PLAIN.replace(f"key: {SECRET}", "key: {secure: 'v1:abc'}")
LIMITED = f"{ENCRYPTED}          requestsPerMinute: 5\n"


def test_a_key_in_plain_text_in_the_file_is_warned_of(tmp_path: Path) -> None:
    (warning,) = decided(loaded(tmp_path, PLAIN)).warnings
    assert "the key of alice stands in the stack's file as it is" in warning
    assert "--secret" in warning


def test_a_secret_that_cannot_be_read_is_taken_to_be_what_is_deployed(tmp_path: Path) -> None:
    (workspace,) = decided(loaded(tmp_path, PLAIN)).workspaces
    before = Before(applications={"chat": application_config(workspace)})

    plan = decided(loaded(tmp_path, ENCRYPTED))
    (warning,) = plan.warnings
    assert "the key of alice is a secret; only pulumi preview can tell whether it changes" in warning
    assert [row.change for row in report_of(plan, before).workspaces] == ["no change"]

    plan = decided(loaded(tmp_path, LIMITED))
    assert [row.change for row in report_of(plan, before).workspaces] == ["in place: apiKeys"]


def test_on_nodes_too_a_secret_that_cannot_be_read_changes_nothing(tmp_path: Path) -> None:
    def on_nodes(text: str) -> Plan:
        text = text.replace("smollm2-135m-instruct", "phi-4")
        return decided(loaded(tmp_path, text.replace("config:\n", "config:\n      modelyard:target: aks\n", 1)))

    (workspace,) = on_nodes(PLAIN).placed
    before = Before(records={"chat": placed_record(workspace, "aks", "USD")})
    changes = [[row.change for row in report_of(on_nodes(text), before).workspaces] for text in (ENCRYPTED, LIMITED)]
    assert changes == [["no change"], ["apiKeys change in place, no request lost"]]


def test_what_keys_cannot_protect_is_said() -> None:
    template = (
        "target: aks\nworkspaces: [{name: own, resource: {instanceType: Standard_NC24ads_A100_v4}, "
        f"inference: {{template: {{spec: {{containers: []}}}}}}}}]\napiKeys: [{{name: a, sha256: {'a' * 64}}}]"
    )
    assert [warning for warning in plan_of(template).warnings if "does not protect own" in warning]
