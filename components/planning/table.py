"""The plan as people read it in a preview: a table, what each workspace is made of, money, and warnings."""

from __future__ import annotations

import io
from collections.abc import Iterator

from rich import box
from rich.console import Console
from rich.table import Table

from components.planning.money import amount, per_hour, symbol
from components.planning.placed import Alternative
from components.planning.report import Memory, Report, Row
from presets.memory import GIB, gib

CHANGE_WIDTH = 40
"""Characters of the last column, whose sentences are the only long values: logs have no width of their own."""

BAR_WIDTH = 10
"""Cells of the bar that shows how full a memory is."""


def render_table(report: Report) -> str:
    """The plan as plain text: no colour codes, no trailing spaces, the same for the same plan."""
    local = report.target == "local"
    table = _local_table(report) if local else _cluster_table(report)
    lines = plain(table) if table.rows else ["modelyard:workspaces is empty: nothing is served"]
    lines += _machine_memory(report.machine_memory) if local else [*_details(report), *money_lines(report)]
    return "\n".join([*lines, *(f"warning: {warning}" for warning in report.warnings)])


def _local_table(report: Report) -> Table:
    table = _table("WORKSPACE", "MODEL", "WHERE", "CONTEXT", "MEMORY needed / there is", "ENDPOINT")
    for row in report.workspaces:
        replicas = f", {row.replicas} replicas" if row.replicas > 1 else ""
        table.add_row(
            row.name, row.model, f"{row.where}{replicas}", context(row), memory(row.memory), row.endpoint, row.change
        )
    return table


def _cluster_table(report: Report) -> Table:
    hourly, monthly, tokens = (f"{symbol(report.currency)}/{unit}" for unit in ("h", "month", "M tokens"))
    known = any(row.per_million_tokens is not None for row in report.workspaces)
    table = _table(
        "WORKSPACE",
        "MODEL",
        "NODES",
        "GPUS",
        "PARALLEL",
        "CONTEXT",
        "MEMORY of a GPU",
        hourly,
        monthly,
        *([tokens] if known else []),
    )
    for row in report.workspaces:
        money = money_cells(row)[: 3 if known else 2]
        spot = " (spot)" if row.spot else ""
        table.add_row(
            row.name,
            row.model,
            f"{row.where}{spot}",
            gpus(row),
            row.parallelism,
            context(row),
            memory(row.memory),
            *money,
            row.change,
        )
    return table


def _table(*headings: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        table.add_column(heading)
    table.add_column("CHANGE", max_width=CHANGE_WIDTH)
    return table


def gpus(row: Row) -> str:
    """GPUs that are paid for, by model."""
    return f"{row.gpus} {row.gpu}" if row.gpus else ""


def context(row: Row) -> str:
    """Tokens of a sequence, and how many such sequences at the same time in a replica."""
    return "" if row.context is None else f"{row.context:,} x {row.sequences}"


def memory(found: Memory | None) -> str:
    """A bar and the figures.

    >>> memory(Memory(of="A10", parts={}, needed=3 * 2**30, there_is=10 * 2**30))
    '███░░░░░░░ 3.0 / 10.0 GiB'
    """
    if found is None:
        return ""
    full = min(BAR_WIDTH, round(BAR_WIDTH * found.needed / found.there_is)) if found.there_is else BAR_WIDTH
    return f"{'█' * full}{'░' * (BAR_WIDTH - full)} {gib(found.needed)} / {gib(found.there_is)} GiB"


def money_cells(row: Row) -> tuple[str, str, str]:
    """For an hour, for a month, and for a million tokens; nothing for a workspace that goes."""
    if not row.kind:
        return "", "", ""
    sums = [f"{value:,.2f}" if value is not None else "unknown" for value in (row.per_hour, row.per_month)]
    return sums[0], sums[1], "" if row.per_million_tokens is None else f"{row.per_million_tokens:,.2f}"


def _machine_memory(found: Memory | None) -> list[str]:
    if found is None:
        return []
    return [f"memory: at most {gib(found.needed)} GiB needed together; {gib(found.there_is)} GiB there is, {found.of}"]


def _details(report: Report) -> Iterator[str]:
    for row in report.workspaces:
        yield from (f"{row.name}: {line}" for line in details(row, report.currency))


def details(row: Row, currency: str) -> Iterator[str]:
    """What a row of the table has no room for: the parts of the memory, what limits, and what else would do."""
    if row.memory is not None:
        parts = " + ".join(f"{name} {_part(count)}" for name, count in row.memory.parts.items() if count)
        how = ", ".join(word for word in (row.engine, row.dtype) if word)
        left = gib(row.memory.there_is - row.memory.needed)
        needed, there_is = gib(row.memory.needed), gib(row.memory.there_is)
        yield f"{parts} = {needed} of {there_is} GiB ({row.memory.of}), {left} left; {how}"
    if row.limited_by:
        yield f"limited by {row.limited_by}"
    if row.reason:
        others = [_alternative(each, currency) for each in row.alternatives]
        yield "; ".join([f"{row.instance_type or 'nodes'}: {row.reason}", *others])


def _part(count: int) -> str:
    """A part of a sum in GiB; one that is too small to be seen in it is not called nothing."""
    return gib(count) if count >= GIB // 20 else "<0.1"


def _alternative(other: Alternative, currency: str) -> str:
    if other.reason:
        return f"not {other.size} ({per_hour(other.per_hour, currency)}): {other.reason}"
    return f"next {other.nodes} x {other.size} ({per_hour(other.per_hour, currency)})"


def money_lines(report: Report) -> list[str]:
    """What the stack costs, and how much that is more or less than what is deployed."""
    if not report.workspaces:
        return []
    nameless = ", ".join(report.unpriced)
    if report.unpriced and not any(row.per_hour is not None for row in report.workspaces):
        return [f"total: unknown, as no price is known for {nameless}"]
    hourly, monthly = per_hour(report.per_hour, report.currency), amount(report.per_month, report.currency)
    lines = [f"total: {hourly}, {monthly} a month" + (f" ({report.prices})" if report.prices else "")]
    if report.unpriced:
        lines.append(f"not in the total, because no price is known: {nameless}")
    change, by_month = report.difference_per_hour, report.difference_per_month
    if change is None or by_month is None:
        lines.append(f"the difference from what is deployed is not known: {report.not_compared}")
    elif abs(change) < 0.005:
        lines.append("the same as what is deployed")
    else:
        word = "more" if change > 0 else "less"
        than = f"what is deployed ({per_hour(report.deployed_per_hour, report.currency)})"
        hourly, monthly = per_hour(abs(change), report.currency), amount(abs(by_month), report.currency)
        lines.append(f"{hourly}, {monthly} a month {word} than {than}")
    return lines


def plain(table: Table) -> list[str]:
    """The table's lines. Only CHANGE is wrapped, and no value is ever cut: the console is wider than any row."""
    text = io.StringIO()
    console = Console(file=text, width=10_000, color_system=None, force_terminal=False, highlight=False, markup=False)
    console.print(table)
    return [line.rstrip() for line in text.getvalue().splitlines() if line.strip()]
