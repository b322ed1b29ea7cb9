"""What the preview says that an update will do."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from components.planning.local_changes import changes
from components.planning.local_sizing import Machine
from components.planning.render import application_config
from presets.memory import GIB
from tests.planning.builders import LAPTOP, chat, plan_of


def adapted(source: str) -> str:
    """The stack of `chat()` with one adapter."""
    return chat(preset=f"name: smollm2-135m-instruct}}, adapters: [{{source: {source}}}], config: {{")


def deployed(stack: str, code_version: str = "c0de") -> Mapping[str, Mapping[str, object]]:
    """What a stack's outputs keep of an update: summaries that went through JSON."""
    plan = plan_of(stack, code_version=code_version)
    return json.loads(json.dumps({workspace.name: application_config(workspace) for workspace in plan.workspaces}))


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (chat(), chat(), "no change"),
        (chat(), chat(config="sampling: {temperature: 0}"), "in place: sampling.temperature"),
        (chat(), chat(config="maxWaitingRequests: 9"), "in place: maxWaitingRequests"),
        (chat(), chat(config="requestTimeoutSeconds: 9"), "in place: requestTimeoutSeconds"),
        (chat(), f"{chat()}\napiKeys: [{{name: a, sha256: {'a' * 64}}}]", "in place: apiKeys"),
        (chat(), adapted("{name: polite, image: registry.io/polite:1}"), "in place: adapters"),
        (adapted("{name: polite, image: registry.io/polite:1}"), chat(), "in place: adapters"),
        (
            adapted("{name: polite, image: registry.io/polite:1}"),
            adapted("{name: polite, uri: 'hf:org/polite'}"),
            "in place: adapters",
        ),
        (chat(), chat("replicas: 2"), "replicas 1 -> 2"),
        (chat("replicas: 2"), chat(), "replicas 2 -> 1"),
        (chat(), chat(config="maxContext: 1024"), "new replicas beside the old ones: maxContext"),
        (chat(), chat(config="quantization: int8"), "new replicas beside the old ones: quantization"),
        (chat(), chat(config="dtype: float32"), "new replicas beside the old ones: dtype"),
        (chat(), chat(preset="name: smollm2-360m-instruct"), "new replicas beside the old ones: preset, weights"),
        (
            chat(),
            chat("replicas: 2", config="maxSequences: 8, maxWaitingRequests: 9"),
            "new replicas beside the old ones: maxSequences; replicas 1 -> 2; in place: maxWaitingRequests",
        ),
    ],
)
def test_a_change_is_named_in_the_words_of_the_config(before: str, after: str, said: str) -> None:
    assert changes(plan_of(after).workspaces, deployed(before)) == {"chat": said}


def test_new_serving_code_means_new_replicas() -> None:
    said = changes(plan_of(chat(), code_version="new").workspaces, deployed(chat()))
    assert said == {"chat": "new replicas beside the old ones: serving code"}


def test_a_replacement_that_finds_no_room_beside_the_old_replicas_says_that_requests_wait() -> None:
    small = Machine(cpus=LAPTOP.cpus, memory_bytes=5 * GIB)
    said = changes(plan_of(chat(config="maxContext: 1024"), small).workspaces, deployed(chat()))
    assert said == {"chat": "new replicas after the old ones, requests wait: maxContext"}


def test_workspaces_come_and_go() -> None:
    assert changes(plan_of(chat()).workspaces, {}) == {"chat": "create"}
    assert changes(plan_of("workspaces: []").workspaces, deployed(chat())) == {"chat": "delete"}
    renamed = chat().replace("chat", "answers")
    assert changes(plan_of(renamed).workspaces, deployed(chat())) == {"answers": "create", "chat": "delete"}


def test_what_another_version_deployed_with_other_fields_counts_as_changed() -> None:
    assert changes(plan_of(chat()).workspaces, {"chat": {"name": "chat"}})["chat"].startswith("new replicas")
    old = {"chat": {**deployed(chat())["chat"], "logging_config": {"log_level": "DEBUG"}}}
    assert changes(plan_of(chat()).workspaces, old) == {"chat": "in place: log_level"}


def test_a_change_that_follows_from_others_is_named_only_where_it_is_alone() -> None:
    before = json.loads(json.dumps(deployed(chat())))
    before["chat"]["deployments"][0]["max_ongoing_requests"] = 5
    assert changes(plan_of(chat()).workspaces, before) == {"chat": "in place: max_ongoing_requests"}


def test_what_a_refresh_found_wrong_is_a_repair_unless_more_changes() -> None:
    plan = plan_of(chat())
    before = {workspace.name: application_config(workspace) for workspace in plan.workspaces}
    assert changes(plan.workspaces, before, {"chat": "the application is gone"}) == {
        "chat": "repair: the application is gone"
    }
    assert changes(plan.workspaces, before, {"chat": ""}) == {"chat": "no change"}
    assert changes(plan.workspaces, {}, {"chat": "the application is gone"}) == {"chat": "create"}


def test_another_ray_restarts_what_is_deployed_and_says_why() -> None:
    plan = plan_of(chat())
    before = {workspace.name: application_config(workspace) for workspace in plan.workspaces}
    assert changes(plan.workspaces, before, restart="servePort") == {"chat": "restart, Ray is replaced: servePort"}
    assert changes(plan.workspaces, {}, restart="servePort") == {"chat": "create"}
