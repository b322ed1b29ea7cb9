"""The plans, refusals and figures in the pages are those of the program."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic.alias_generators import to_camel

from components.planning.change_rules import RULES, Effect
from components.planning.placed import Alternative
from components.planning.report import Memory, Report, Row
from docs import printed_plans
from presets.catalog import find_preset
from presets.memory import kv_cache_bytes
from presets.node_sizes import find_node_size
from presets.parallelism import Load, Split, need_of_gpu, room_of_gpu
from tests.docs import pages
from tests.docs.pages import PROJECT

PAGES = list(printed_plans.pages())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_a_page_shows_the_plan_that_its_stack_file_has_today(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text == printed_plans.renew(text), "run .venv/bin/python -m docs.printed_plans and look at the diff"


def test_the_readme_shows_what_a_cluster_costs() -> None:
    assert PROJECT / "README.md" in PAGES


def test_a_refusal_that_is_none_is_noticed() -> None:
    page = "```yaml refused\nconfig: {}\n```\n\n```text refused\n```\n"
    with pytest.raises(ValueError, match="not refused"):
        printed_plans.renew(page)


EFFECTS = {
    "in place": Effect.IN_PLACE,
    "replicas are": Effect.REPLICAS,
    "new replicas": Effect.NEW_REPLICAS,
    "new nodes": Effect.NEW_NODES,
    "new job": Effect.NEW_JOB,
    "refused": Effect.REFUSED,
    "nothing": Effect.NOTHING,
}


def test_the_table_of_changes_is_that_of_the_code() -> None:
    section = pages.page("docs/plan.md").prose.partition("## What a change does")[2].partition("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| `")]
    said = {
        setting: effect
        for settings, words, *_ in rows
        for setting in re.findall(r"`([^`]+)`", settings)
        for begins, effect in EFFECTS.items()
        if words.startswith(begins)
    }
    assert said == RULES, "docs/plan.md and components/planning/change_rules.py differ"


def test_every_field_of_the_json_is_explained() -> None:
    section = pages.page("docs/plan.md").prose.partition("## JSON")[2].partition("\n## ")[0]
    explained = set(re.findall(r"`(\w+)`", section))
    for model in (Report, Row, Memory, Alternative):
        for field in model.__dataclass_fields__:
            assert to_camel(field) in explained, f"docs/plan.md does not say what {to_camel(field)} is"


def test_the_example_that_is_calculated_by_hand_agrees_with_the_program() -> None:
    page = pages.page("docs/sizing.md").prose.partition("## By hand")[2].partition("\n## ")[0]
    said = {
        cells[0].strip(): int(cells[2].replace(",", ""))
        for cells in (line.strip("|").split("|") for line in page.splitlines())
        if len(cells) == 4 and cells[2].strip().replace(",", "").isdigit()
    }
    phi, node = find_preset("phi-3-mini-4k-instruct"), find_node_size("Standard_NC6s_v3")
    load = Load(preset=phi, engine="transformers", dtype="float16", context=4096, sequences=3)
    need = need_of_gpu(load, Split(tensor=1, pipeline=1))
    assert said == {
        "weights": need.weights,
        "one token": kv_cache_bytes(phi.shape, 1),
        "KV cache": need.kv_cache,
        "activations": need.activations,
        "runtime": need.runtime,
        "together": need.total,
        "there is": room_of_gpu(node.gpu, "transformers"),
    }
