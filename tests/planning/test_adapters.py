"""Adapters on this machine: what a replica is told of them, and what memory is counted."""

from __future__ import annotations

from typing import Any

import pytest

from components.planning.local_plan import WorkspacePlan
from components.planning.render import application_config
from presets.adapter_memory import copies_bytes, matrices_bytes
from presets.catalog import find_preset
from presets.lora import adapter_bytes
from presets.serve_config import AdapterSettings, adapters_generation
from tests.planning.builders import LAPTOP, plan_of


def chat(*adapters: str, config: str = "") -> WorkspacePlan:
    """The plan of a workspace with these adapters."""
    listed = ", ".join(adapters)
    stack = (
        f"workspaces: [{{name: chat, inference: {{preset: {{name: smollm2-135m-instruct}}, adapters: [{listed}], "
        f"config: {{{config}}}}}}}]"
    )
    (workspace,) = plan_of(stack, LAPTOP).workspaces
    return workspace


def told(workspace: WorkspacePlan) -> list[dict[str, Any]]:
    config: Any = application_config(workspace)
    return config["deployments"][0]["user_config"]["adapters"]


@pytest.mark.parametrize(
    ("source", "becomes"),
    [
        ("image: registry.io/polite:1", "oci:registry.io/polite:1"),
        ("image: me/polite", "oci:docker.io/me/polite:latest"),
        ("volumeSource: {hostPath: {path: /mnt/polite/}}", "file:/mnt/polite"),
        ("uri: 'hf:org/polite@v1'", "hf:org/polite@v1"),
        ("uri: 'file:/mnt/polite'", "file:/mnt/polite"),
        ("uri: 'oci:registry.io/polite:1'", "oci:registry.io/polite:1"),
    ],
)
def test_a_replica_is_told_where_an_adapter_comes_from(source: str, becomes: str) -> None:
    (adapter,) = told(chat(f"{{source: {{name: polite, {source}}}, strength: '0.5', rank: 8}}"))
    assert adapter == {"name": "polite", "source": becomes, "strength": 0.5, "rank": 8}


def test_the_order_in_the_file_changes_nothing() -> None:
    one, other = "{source: {name: a, uri: 'hf:o/a'}}", "{source: {name: b, uri: 'hf:o/b'}}"
    assert told(chat(one, other)) == told(chat(other, one))


def test_an_adapter_changes_nothing_that_needs_new_replicas() -> None:
    without, adapted = chat(), chat("{source: {name: polite, image: registry.io/polite:1}}")
    assert adapted.serve_args == without.serve_args


def test_memory_is_counted_by_rank() -> None:
    plain = chat().memory
    adapted = chat("{source: {name: a, uri: 'hf:o/a'}}", "{source: {name: b, uri: 'hf:o/b'}, rank: 64}").memory
    preset = find_preset("smollm2-135m-instruct")
    shape, targets, ranks = preset.shape, preset.lora_targets, (16, 64)
    needed = matrices_bytes(shape, targets, ranks, 32, 2) + copies_bytes(shape, targets, ranks, 2)
    assert needed > sum(adapter_bytes(shape, targets, rank) for rank in ranks)
    assert adapted.adapters == needed
    assert adapted.total == plain.total + needed


def test_a_generation_is_of_the_list_in_any_order() -> None:
    first = AdapterSettings(name="a", source="hf:o/a", rank=16)
    second = AdapterSettings(name="b", source="hf:o/b", rank=16)
    assert adapters_generation([first, second]) == adapters_generation([second, first])
    stronger = first.model_copy(update={"strength": 0.5})
    assert adapters_generation([stronger, second]) != adapters_generation([first, second])
