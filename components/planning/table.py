"""The plan as people read it in a preview: a table, a line about memory, and what they are warned of."""

from __future__ import annotations

import io
from collections.abc import Mapping

from rich import box
from rich.console import Console
from rich.table import Table

from components.planning.changes import DELETE
from components.planning.names import base_url
from components.planning.plan import Plan, WorkspacePlan
from components.planning.sizing import gib

CHANGE_WIDTH = 40
"""Characters of the last column, whose sentences are the only long values: logs have no width of their own."""


def render_table(plan: Plan, changes: Mapping[str, str], *, serve_port: int | None = None) -> str:
    """The plan as plain text: no colour codes, no trailing spaces, the same for the same plan.

    changes: as components.planning.changes.changes gives them. serve_port: where Serve listens, if Ray runs already; it
    counts where the config asks for no port.
    """
    port = plan.ray.serve_port or serve_port
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("WORKSPACE", "MODEL", "WHERE", "MEMORY needed / there is", "ENDPOINT"):
        table.add_column(heading)
    table.add_column("CHANGE", max_width=CHANGE_WIDTH)
    planned = {workspace.name: workspace for workspace in plan.workspaces}
    for name in sorted(planned.keys() | changes.keys()):
        if workspace := planned.get(name):
            table.add_row(*_row(workspace, plan, port), changes.get(name, ""))
        else:
            table.add_row(name, "", "", "", "", changes.get(name, DELETE))
    lines = plain(table) if table.rows else ["modelyard:workspaces is empty: nothing is served"]
    return "\n".join([*lines, *_memory(plan), *(f"warning: {warning}" for warning in plan.warnings)])


def _row(workspace: WorkspacePlan, plan: Plan, port: int | None) -> tuple[str, ...]:
    replicas = f", {workspace.replicas} replicas" if workspace.replicas > 1 else ""
    return (
        workspace.name,
        workspace.preset,
        f"{workspace.where}{replicas}",
        f"{gib(workspace.memory_bytes)} / {gib(_there_is(workspace, plan))} GiB",
        base_url(workspace.name, port) if port else "port chosen at up",
    )


def _there_is(workspace: WorkspacePlan, plan: Plan) -> int:
    if workspace.num_gpus:
        return workspace.replicas * min(gpu.memory_bytes for gpu in plan.machine.gpus)
    return plan.machine.usable_bytes


def _memory(plan: Plan) -> list[str]:
    if not plan.workspaces or plan.machine.gpus:
        return []
    needed, there_is, all_of_it = plan.memory_bytes, plan.machine.usable_bytes, plan.machine.memory_bytes
    return [
        f"memory: at most {gib(needed)} GiB needed together; {gib(there_is)} GiB there is, "
        f"{gib(all_of_it)} GiB less what Ray and the system take"
    ]


def plain(table: Table) -> list[str]:
    """The table's lines. Only CHANGE is wrapped, and no value is ever cut: the console is wider than any row."""
    text = io.StringIO()
    console = Console(file=text, width=10_000, color_system=None, force_terminal=False, highlight=False, markup=False)
    console.print(table)
    return [line.rstrip() for line in text.getvalue().splitlines() if line.strip()]
