"""Writes the plans and refusals that pages show from the stack files above them, so that a page shows what is printed.

`python -m docs.printed_plans` replaces these blocks of README.md and docs/*.md; tests/docs fails while one is stale.

text plan: a first preview of the nearest stack file above, a block of language yaml that is marked by nothing else.
text change: a preview of that file after an update from the stack file before it.
text refused: what is printed of the block above, which is marked `yaml refused`.
markdown plan: the same as text plan, as Markdown.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from components.planning.errors import SpecError
from components.planning.local_sizing import Machine
from components.planning.markdown import render_markdown
from components.planning.plan import Plan, decide
from components.planning.preview import Before, preview
from components.planning.record import placed_record
from components.planning.report import Report
from components.planning.spec import namespaced, raw_config
from components.planning.table import render_table
from presets.memory import GIB

PROJECT = Path(__file__).parents[1]

STACK = "prod"
REFUSED_FILE = "Pulumi.dev.yaml"
MACHINE = Machine(cpus=2, memory_bytes=47 * GIB // 2)
"""Plans of targets kubernetes and aks do not depend on it."""

_BLOCK = re.compile(r"^```(?P<info>[^\n`]+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


def main() -> int:
    """Rewrite the pages that are stale."""
    for page in pages():
        before = page.read_text(encoding="utf-8")
        after = renew(before)
        if after != before:
            page.write_text(after, encoding="utf-8")
        sys.stdout.write(f"{page.relative_to(PROJECT)}: {'written' if after != before else 'up to date'}\n")
    return 0


def pages() -> Iterator[Path]:
    """The pages that show a plan."""
    for page in (PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))):
        if any(block["info"] in _SHOWN for block in _BLOCK.finditer(page.read_text(encoding="utf-8"))):
            yield page


def renew(page: str) -> str:
    """The page with what its stack files print today. Raises SpecError if one is refused, ValueError if none is."""
    configs: list[str] = []
    refused: list[str] = []

    def fresh(block: re.Match[str]) -> str:
        info, text = block["info"], block["text"]
        if info == "yaml":
            configs.append(text)
        if info == "yaml refused":
            refused.append(text)
        show = _SHOWN.get(info)
        if show is None:
            return block[0]
        return f"```{info}\n{show(refused if info == 'text refused' else configs).rstrip()}\n```"

    return _BLOCK.sub(fresh, page)


def _plan(stack_file: str, name: str) -> Plan:
    content: Any = yaml.safe_load(stack_file)
    return decide(raw_config(namespaced(content["config"])), MACHINE, stack_file=name, code_version="page")


def _report(configs: list[str], before: Before | None = None) -> Report:
    return preview(_plan(configs[-1], f"Pulumi.{STACK}.yaml"), before or Before(), stack=STACK)


def _first(configs: list[str]) -> str:
    return render_table(_report(configs))


def _changed(configs: list[str]) -> str:
    deployed = _plan(configs[-2], f"Pulumi.{STACK}.yaml")
    records = {each.name: placed_record(each, deployed.target, deployed.prices.currency) for each in deployed.placed}
    return render_table(_report(configs, Before(records=records)))


def _markdown(configs: list[str]) -> str:
    return render_markdown(_report(configs))


def _refusal(configs: list[str]) -> str:
    try:
        _plan(configs[-1], REFUSED_FILE)
    except SpecError as refused:
        return str(refused)
    raise ValueError(f"this is not refused, and a page says so:\n{configs[-1]}")


_SHOWN: dict[str, Callable[[list[str]], str]] = {
    "text plan": _first,
    "text change": _changed,
    "text refused": _refusal,
    "markdown plan": _markdown,
}


if __name__ == "__main__":
    sys.exit(main())
