"""Every config in the pages is accepted, or refused as the page says; every Python snippet compiles."""

from __future__ import annotations

import ast
from typing import Any

import pytest
import yaml

from components.planning.change_rules import NO_CHANGE
from components.planning.errors import SpecError
from components.planning.local_changes import changes
from components.planning.local_sizing import Machine
from components.planning.plan import Plan, make_plan
from components.planning.preview import Before, preview
from components.planning.render import application_config
from components.planning.spec import namespaced, parse_spec, raw_config
from components.planning.table import render_table
from components.status_table import HEADINGS
from presets.memory import GIB
from tests.docs import pages
from tests.docs.pages import PROJECT, Block, Page

MACHINE = Machine(cpus=2, memory_bytes=47 * GIB // 2)
"""The one that the output in the pages was copied from."""

Snippet = tuple[Page, Block]


def yaml_blocks(mark: str) -> list[Snippet]:
    return [
        (page, block)
        for page in pages.pages()
        for block in page.blocks
        if block.language == "yaml" and block.mark == mark
    ]


def plan_of(stack_file: str) -> Plan:
    content: Any = yaml.safe_load(stack_file)
    assert isinstance(content, dict), "a yaml block is a whole stack file, or says after `yaml` what else it is"
    assert content.keys() == {"config"}, "a yaml block is a whole stack file, or says after `yaml` what else it is"
    raw = raw_config(namespaced(content["config"]))
    return make_plan(parse_spec(raw, stack_file="Pulumi.dev.yaml"), MACHINE, code_version="c0de")


def dev_stack() -> str:
    """The dev stack's file as it is committed: where it was updated, Pulumi has added a line of its own."""
    lines = (PROJECT / "Pulumi.dev.yaml").read_text(encoding="utf-8").splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith("encryptionsalt:"))


@pytest.mark.parametrize("snippet", yaml_blocks(""), ids=lambda snippet: str(snippet[0]))
def test_a_config_in_a_page_is_accepted(snippet: Snippet) -> None:
    page, block = snippet
    plan = plan_of(block.text)
    assert plan.workspaces or plan.placed, f"{page} shows a config without workspaces"


@pytest.mark.parametrize("snippet", yaml_blocks("refused"), ids=lambda snippet: str(snippet[0]))
def test_a_config_that_a_page_calls_wrong_is_refused_in_the_words_that_follow(snippet: Snippet) -> None:
    page, block = snippet
    answer = page.blocks[page.blocks.index(block) + 1]
    with pytest.raises(SpecError) as refused:
        plan_of(block.text)
    assert answer.text.rstrip("\n") == str(refused.value)


@pytest.mark.parametrize("page", pages.pages(), ids=str)
def test_python_and_json_in_a_page_can_be_read(page: Page) -> None:
    for block in page.blocks:
        if block.language == "python":
            ast.parse(block.text)


def test_the_readme_begins_with_the_dev_stack_as_it_is() -> None:
    first = next(block for block in pages.page("README.md").blocks if block.language == "yaml")
    own = yaml.safe_load((PROJECT / "Pulumi.dev.yaml").read_text(encoding="utf-8"))
    assert yaml.safe_load(first.text)["config"] == own["config"], (
        "the first screen shows another stack than make up runs"
    )


@pytest.mark.parametrize(("name", "port"), [("README.md", None), ("docs/getting-started.md", 8000)])
def test_the_plan_in_a_page_is_that_of_the_config_above_it(name: str, port: int | None) -> None:
    blocks = pages.page(name).blocks
    index, shown = next((index, block.text) for index, block in enumerate(blocks) if " WORKSPACE  " in block.text)
    config = next(block for block in reversed(blocks[:index]) if block.language == "yaml")
    plan = plan_of(config.text)
    before = plan_of(dev_stack()) if port else None
    deployed = {each.name: application_config(each) for each in before.workspaces} if before else {}
    report = preview(plan, Before(applications=deployed, serve_port=port), stack="dev")
    assert render_table(report) in shown


@pytest.mark.parametrize("name", ["README.md", "docs/getting-started.md"])
def test_the_status_in_a_page_has_the_columns_that_are_printed(name: str) -> None:
    lines = [line.split() for block in pages.page(name).blocks for line in block.text.splitlines()]
    assert list(HEADINGS) in lines


BEFORE = """
config:
  modelyard:workspaces:
    - name: chat
      inference: {preset: {name: smollm2-135m-instruct}}
"""
CHANGED = {
    "`inference.config.sampling`": ("inference", {"config": {"sampling": {"temperature": 0}}}),
    "`inference.config.maxWaitingRequests`, `requestTimeoutSeconds`": (
        "inference",
        {"config": {"maxWaitingRequests": 9, "requestTimeoutSeconds": 60}},
    ),
    "`inference.adapters`": ("inference", {"adapters": [{"source": {"name": "polite", "uri": "hf:org/polite"}}]}),
    "`replicas`": ("replicas", 2),
    "`readyTimeoutSeconds`": ("readyTimeoutSeconds", 9),
    "`inference.config.maxContext`, `maxSequences`, `dtype`": ("inference", {"config": {"maxContext": 1024}}),
    "`inference.preset.name`, `inference.preset.presetOptions.weights`": (
        "inference",
        {"preset": {"name": "smollm2-360m-instruct"}},
    ),
    "`name`": ("name", "other"),
}
BEGINS = {
    "in place": "in place",
    "replicas are": "replicas 1 -> 2",
    "nothing": NO_CHANGE,
    "new replicas": "new replicas",
}


def test_what_a_change_does_is_what_the_page_says() -> None:
    section = pages.page("docs/configuration.md").prose.partition("## What a change does")[2].partition("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| `")]
    assert {field for field, _ in rows} == CHANGED.keys(), "the table and this test name the same fields"
    before = {"chat": application_config(plan_of(BEFORE).workspaces[0])}
    for field, said in rows:
        name, value = CHANGED[field]
        config = yaml.safe_load(BEFORE)
        workspace = config["config"]["modelyard:workspaces"][0]
        workspace[name] = workspace[name] | value if isinstance(value, dict) else value
        done = changes(plan_of(yaml.safe_dump(config)).workspaces, before)
        if said.startswith("another workspace"):
            assert done == {"chat": "delete", "other": "create"}
        else:
            beginning = next(words for begin, words in BEGINS.items() if said.startswith(begin))
            assert done["chat"].startswith(beginning), f"{field}: {done['chat']}"
