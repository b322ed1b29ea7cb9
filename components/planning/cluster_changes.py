"""What an update will do to each workspace on nodes, in sentences: what changes, and what it costs meanwhile."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pydantic import JsonValue

from components.planning.api_keys import alike
from components.planning.change_rules import CREATE, DELETE, NO_CHANGE, Effect, effect_of
from components.planning.errors import Problem
from components.planning.money import per_hour
from components.planning.place import Place
from components.planning.placed import PlacedWorkspace
from components.planning.record import Record, placed_record

START_MINUTES = 15
"""From asking for a node to the first answer: 966 s were published for 52 GiB on an A100, 92 s of them a benchmark that
does not run here (kaito-project/kaito, issue 2325)."""

_IDENTITY = frozenset({"name", "target"})


def cluster_changes(
    placed: tuple[PlacedWorkspace, ...],
    deployed: Mapping[str, Record],
    *,
    target: str,
    currency: str = "USD",
    beside: frozenset[str] = frozenset(),
) -> dict[str, str]:
    """By name. deployed: the record of each workspace as of the last update. beside: names of those whose new replicas
    may start while the old ones run."""
    changes = {
        each.name: _change(each, deployed.get(each.name), target, currency, beside=each.name in beside)
        for each in placed
    }
    return dict(sorted((changes | {name: DELETE for name in deployed.keys() - changes.keys()}).items()))


def refused_changes(placed: tuple[PlacedWorkspace, ...], deployed: Mapping[str, Record]) -> list[Problem]:
    """Workspaces that would have to become something that they cannot."""
    return [
        _refused(each.place, each.name, each.kind, deployed[each.name])
        for each in placed
        if each.name in deployed and deployed[each.name].get("kind", each.record_kind) != each.record_kind
    ]


def refused_kinds(kinds: Iterable[tuple[str, str]], deployed: Mapping[str, Record]) -> list[Problem]:
    """The same of workspaces on this machine: their names and kinds."""
    return [
        _refused(Place("modelyard:workspaces", name), name, kind, deployed[name])
        for name, kind in kinds
        if name in deployed and deployed[name].get("kind", kind) != kind
    ]


def _refused(place: Place, name: str, kind: str, before: Record) -> Problem:
    return place.problem(
        found=f"{kind}, and what is deployed under this name is {before.get('kind')}",
        allowed="the same as before: a workspace that serves cannot become one that tunes, nor the reverse",
        do=f"give the new one another name, for example {name}-2; or remove it, update, and add it again",
    )


def _change(workspace: PlacedWorkspace, before: Record | None, target: str, currency: str, *, beside: bool) -> str:
    if before is None:
        return CREATE
    if before.get("target") != target:
        return f"create on {target}, delete on {before.get('target')}"
    after = placed_record(workspace, target, currency)
    by_effect: dict[Effect, list[str]] = {}
    for setting in after:
        if setting not in _IDENTITY and not alike(before.get(setting), after[setting]):
            by_effect.setdefault(_effect(workspace, setting), []).append(setting)
    if "adapter slots" in by_effect.get(Effect.NEW_REPLICAS, ()):
        # Adapters for which there is no place come with the replicas that have one.
        by_effect[Effect.IN_PLACE] = [each for each in by_effect.get(Effect.IN_PLACE, ()) if each != "adapters"]
        if not by_effect[Effect.IN_PLACE]:
            del by_effect[Effect.IN_PLACE]
    if Effect.NEW_NODES in by_effect:
        # What else needs new replicas comes with them, and how the model is divided follows from the nodes.
        by_effect[Effect.NEW_NODES] += by_effect.pop(Effect.NEW_REPLICAS, [])
    sentences = [
        _sentence(effect, settings, workspace, before, _meanwhile(workspace, currency, beside=beside))
        for effect, settings in sorted(by_effect.items(), key=lambda item: item[0].value, reverse=True)
        if effect is not Effect.NOTHING
    ]
    return "; ".join(sentences) or (_follows(before, after, currency) if by_effect else NO_CHANGE)


def _effect(workspace: PlacedWorkspace, setting: str) -> Effect:
    """A job has no replicas: whatever it is made from, it runs again."""
    effect = effect_of(setting)
    return Effect.NEW_JOB if workspace.kind == "tuning" and effect is Effect.NEW_REPLICAS else effect


def _sentence(effect: Effect, settings: list[str], workspace: PlacedWorkspace, before: Record, meanwhile: str) -> str:
    words = ", ".join(settings)
    match effect:
        case Effect.NEW_NODES:
            return f"new {words} → new nodes and replicas {meanwhile}"
        case Effect.NEW_JOB:
            return f"new {words} → the tuning job runs again, the adapter is published again"
        case Effect.NEW_REPLICAS:
            return f"new {words} → new replicas {meanwhile}"
        case Effect.REPLICAS:
            return f"replicas {before.get('replicas', '?')} → {workspace.replicas}, the others stay"
        case Effect.IN_PLACE:
            verb = "change" if len(settings) > 1 or words.endswith("s") else "changes"
            return f"{words} {verb} in place, no request lost"
        case _:
            return f"refused: {words}"


def _meanwhile(workspace: PlacedWorkspace, currency: str, *, beside: bool) -> str:
    """Whether old and new can be side by side, and what that takes."""
    node = workspace.node
    if node is None:
        return "after the old ones, requests wait"
    if not beside:
        why = "no existing node is free" if node.existing else "gpu-provisioner makes no more nodes than are planned"
        return f"after the old ones, requests wait about {START_MINUTES} min: {why}"
    hourly = "" if workspace.per_hour is None else f" ({per_hour(workspace.per_hour, currency)})"
    more = f"{workspace.nodes} more {node.size_name}{hourly}"
    return f"beside the old ones, needs {more} for about {START_MINUTES} min"


def _follows(before: Record, after: Record, currency: str) -> str:
    """Of a change that replaces nothing that runs."""
    parts: list[str] = []
    if before.get("modelAccessSecret") != after.get("modelAccessSecret"):
        parts.append("modelAccessSecret counts when weights are fetched the next time")
    if before.get("nodes") != after["nodes"]:
        parts.append(f"nodes {before.get('nodes', '?')} → {after['nodes']}")
    if (before.get("perHour"), before.get("currency")) != (after["perHour"], after["currency"]):
        was = _money(before.get("perHour"), str(before.get("currency", currency)))
        parts.append(f"no change but the price: {was} → {_money(after['perHour'], currency)}")
    return "; ".join(parts) or NO_CHANGE


def _money(value: JsonValue, currency: str) -> str:
    return per_hour(value if isinstance(value, float | int) else None, currency)
