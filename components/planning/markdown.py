"""The plan as Markdown, for the comment of a pull request: the table first, then money and warnings, details folded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from components.planning.money import symbol
from components.planning.report import Report, Row
from components.planning.table import context, details, gpus, memory, money_cells, money_lines


def render_markdown(report: Report) -> str:
    """GitHub's Markdown; the same for the same plan, so that a comment is edited only where the plan has changed."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    where = f", {report.region}" if report.region else ""
    yield f"### Plan of stack `{report.stack}` (target {report.target}{where})"
    yield ""
    if not report.workspaces:
        yield "`modelyard:workspaces` is empty: nothing is served."
        return
    yield from _table(_headings(report), (_cells(row, report) for row in report.workspaces))
    if report.target != "local":
        yield ""
        total, *more = money_lines(report)
        yield f"**{total}**"
        yield from (f"<br>{line}" for line in more)
    if report.warnings:
        yield ""
        yield "**Warnings**"
        yield ""
        yield from (f"- {_escaped(warning)}" for warning in report.warnings)
    yield from _folded(report)


def _headings(report: Report) -> tuple[str, ...]:
    money = symbol(report.currency)
    common = ("workspace", "model", "nodes", "GPUs", "parallel", "context x sequences", "memory needed / there is")
    if report.target == "local":
        return (*common, "change")
    return (*common, f"{money}/h", f"{money}/month", f"{money}/M tokens", "change")


def _cells(row: Row, report: Report) -> tuple[str, ...]:
    name = f"`{row.name}`"
    nodes = f"{row.where}{' (spot)' if row.spot else ''}"
    common = (name, row.model, nodes, gpus(row), row.parallelism, context(row), memory(row.memory))
    if report.target == "local":
        return (*common, row.change)
    return (*common, *money_cells(row), row.change)


def _folded(report: Report) -> Iterator[str]:
    lines = [(row, list(details(row, report.currency))) for row in report.workspaces]
    if not any(found for _, found in lines):
        return
    yield ""
    yield "<details><summary>Memory, limits and alternatives</summary>"
    yield ""
    for row, found in lines:
        yield f"- `{row.name}`"
        yield from (f"  - {_escaped(line)}" for line in found)
    yield ""
    yield "</details>"


def _table(headings: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(headings)} |"
    yield f"|{' --- |' * len(headings)}"
    for cells in rows:
        yield f"| {' | '.join(_escaped(cell) for cell in cells)} |"


def _escaped(text: str) -> str:
    """A person's own text may hold what Markdown or HTML would take for its own."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
