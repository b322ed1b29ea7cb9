"""Every preset on every node size: the table that people looked over is what place() answers today."""

from __future__ import annotations

from pathlib import Path

import pytest

from presets.catalog import catalog, find_preset
from presets.node_sizes import NodeSize, find_node_size, node_sizes
from presets.parallelism import tensor_sizes
from presets.placement import DEFAULT_CONTEXT, Demand, Misfit, Placement, place
from tests.presets.golden.render import render

GOLDEN = Path(__file__).parent / "golden" / "placements.txt"

# KAITO v0.12, pkg/utils/plugin/plugin.go @056b8280.
SHORT_NAMES = [
    "phi-4",
    "phi-4-mini-instruct",
    "deepseek-r1-distill-llama-8b",
    "deepseek-r1-distill-qwen-14b",
    "phi-3-mini-4k-instruct",
    "phi-3-mini-128k-instruct",
    "phi-3-medium-4k-instruct",
    "phi-3-medium-128k-instruct",
    "phi-3.5-mini-instruct",
    "qwen2.5-coder-7b-instruct",
    "qwen2.5-coder-32b-instruct",
    "gpt-oss-20b",
    "gpt-oss-120b",
    "llama-3.1-8b-instruct",
    "llama-3.3-70b-instruct",
    "mistral-7b",
    "mistral-7b-instruct",
    "ministral-3-3b-instruct",
    "ministral-3-8b-instruct",
    "ministral-3-14b-instruct",
    "gemma-3-4b-instruct",
    "gemma-3-27b-instruct",
    "deepseek-r1-0528",
    "deepseek-v3-0324",
    "mistral-large-3-675b-instruct",
]


def blocks() -> dict[str, list[str]]:
    """The lines of each preset, from the file."""
    found: dict[str, list[str]] = {}
    for block in GOLDEN.read_text(encoding="utf-8").split("\n\n")[1:]:
        heading, *lines = block.strip().splitlines()
        found[heading.partition(":")[0]] = [line.strip() for line in lines]
    return found


def all_placed(name: str) -> list[tuple[NodeSize, Placement | Misfit]]:
    return [(node, place(Demand(preset=catalog()[name]), node)) for node in node_sizes().values()]


def test_the_table_is_what_place_answers() -> None:
    assert GOLDEN.read_text(encoding="utf-8") == render(), "run make examples and look at the diff"


def test_every_preset_is_on_every_node_size_or_has_a_reason() -> None:
    found = blocks()
    assert list(found) == list(catalog())
    sizes = sorted(name.removeprefix("Standard_") for name in node_sizes())
    for name, lines in found.items():
        rows = [line for line in lines if not line.startswith("size ")]
        assert sorted(row.split()[0] for row in rows) == sizes, name
        assert all(" of " in row or " no: " in row for row in rows), name


def test_all_short_names_of_kaito_are_in_the_table() -> None:
    assert len(set(SHORT_NAMES)) == 25
    found = blocks()
    for name in SHORT_NAMES:
        assert find_preset(name.upper()) is catalog()[name]
        assert name in found


@pytest.mark.parametrize("name", catalog())
def test_a_placement_holds_what_it_says(name: str) -> None:
    preset = catalog()[name]
    for node, placed in all_placed(name):
        if isinstance(placed, Misfit):
            assert len(placed.reason.split()) > 5, f"{node.name}: {placed.reason!r} explains nothing"
            continue
        assert placed.need.total <= placed.room <= node.gpu.usable_gib * 2**30, node.name
        assert min(DEFAULT_CONTEXT, preset.max_context) <= placed.load.context <= preset.max_context, node.name
        assert placed.split.tensor in tensor_sizes(preset.shape, node.gpus), node.name
        assert placed.split.pipeline <= preset.shape.layer_count, node.name
        assert placed.replicas * placed.split.gpus <= placed.nodes * node.gpus, node.name


def test_phi_3_mini_is_served_in_float16_on_the_v100_of_kaito_s_first_example() -> None:
    placed = place(Demand(preset=find_preset("phi-3-mini-4k-instruct")), find_node_size("Standard_NC6s_v3"))
    assert isinstance(placed, Placement)
    assert (placed.nodes, placed.load.dtype, placed.load.engine) == (1, "float16", "transformers")
    assert placed.load.context == 4096
