"""A plan beside what is deployed: its changes, and the report that a preview prints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from components.planning.cluster_changes import cluster_changes, refused_changes, refused_kinds
from components.planning.errors import Problem
from components.planning.local_changes import changes
from components.planning.place import Place
from components.planning.plan import Plan
from components.planning.record import Record
from components.planning.report import Report, make_report
from components.planning.tuning_changes import Tuned, tuning_changes


@dataclass(frozen=True, kw_only=True)
class Before:
    """What the last update left, by workspace."""

    records: Mapping[str, Record] = field(default_factory=dict[str, Record])
    applications: Mapping[str, Mapping[str, object]] = field(default_factory=dict[str, Mapping[str, object]])
    """Serve applications of target local."""
    drift: Mapping[str, str] = field(default_factory=dict[str, str])
    """What a refresh has found wrong."""
    tuned: Mapping[str, Tuned] = field(default_factory=dict[str, Tuned])
    """Tunings of target local."""
    restart: str = ""
    """Why this machine's Ray is replaced."""
    serve_port: int | None = None
    """Where Serve listens, if Ray runs."""


def preview(plan: Plan, before: Before, *, stack: str) -> Report:
    """The report of the plan and of what it changes."""
    return make_report(plan, _changes(plan, before), stack=stack, deployed=before.records, serve_port=before.serve_port)


def _changes(plan: Plan, before: Before) -> dict[str, str]:
    if plan.target == "local":
        tunings = tuning_changes(plan.tunings, before.tuned)
        here = tunings | changes(
            plan.workspaces, before.applications, before.drift, before.restart, before.tuned, tunings
        )
        moved = {
            name: record.get("target")
            for name, record in before.records.items()
            if name not in before.applications and name not in before.tuned
        }
        return here | {
            name: f"create on local, delete on {target}" if name in here else f"delete on {target}"
            for name, target in moved.items()
        }
    return cluster_changes(
        plan.placed,
        before.records,
        target=plan.target,
        currency=plan.prices.currency,
        beside=plan.beside,
    )


def refusals(plan: Plan, before: Before) -> list[Problem]:
    """What the plan would do to deployed workspaces that nobody can have meant, or that they cannot become."""
    deployed = sorted(before.records.keys() | before.applications.keys() | before.tuned.keys())
    if deployed and not plan.lists_workspaces:
        return [
            Place("modelyard:workspaces").problem(
                found=f"nothing, while {', '.join(deployed)} {'is' if len(deployed) == 1 else 'are'} deployed",
                allowed="a list of workspaces; an empty one ends them all",
                do="write modelyard:workspaces: [] to end them, or put the list back",
            )
        ]
    kinds = [(each.name, "inference") for each in plan.workspaces] + [(each.name, "tuning") for each in plan.tunings]
    return refused_changes(plan.placed, before.records) + refused_kinds(kinds, before.records)
