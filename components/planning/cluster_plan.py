"""The plan of targets kubernetes and aks: every workspace on nodes of one size, with its money."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from components.planning.candidates import Candidates, Sizes, candidates_of, wrong_labels
from components.planning.cluster_refusals import not_provisioned
from components.planning.cluster_warnings import stack_warnings, workspace_warnings
from components.planning.config import WorkspaceSpec
from components.planning.demand import demand_of, tuning_demand_of
from components.planning.errors import Problem, SpecError
from components.planning.existing_nodes import Stock, Use, use_of
from components.planning.misfit import no_place
from components.planning.place import Place
from components.planning.placed import Alternative, Placed, PlacedWorkspace
from components.planning.pod_settings import pod_settings
from components.planning.spec import Spec
from presets.placement import Demand, Misfit, place
from presets.tuning_placement import TuningDemand, TuningPlacement, place_tuning

EASY_NODES = 4
"""Nodes of one replica up to which a size is chosen by itself: each further one is a further stage of the pipeline,
with the network between. A size that is asked for is not bound by it."""

PROVISIONED_NODES = 1
"""The same where an update makes what is planned: it makes no replica over several nodes yet."""

ALTERNATIVES = 3
"""Other sizes that a plan names."""


@dataclass(frozen=True, kw_only=True)
class ClusterPlan:
    """What plan_on_nodes decides."""

    workspaces: tuple[PlacedWorkspace, ...] = ()
    """By name."""
    free_nodes: Mapping[str, int] = field(default_factory=dict[str, int])
    """Of existing nodes, how many of each group nobody uses."""
    warnings: tuple[str, ...] = ()


def plan_on_nodes(spec: Spec, *, code_version: str) -> ClusterPlan:
    """Raises SpecError with everything that does not fit. code_version: as in components.planning.plan.make_plan."""
    stock = Stock(spec.kubernetes)
    found = {
        workspace.name: _placed(workspace, where, spec, stock)
        for where, workspace in sorted(zip(spec.places, spec.workspaces, strict=True), key=lambda pair: pair[1].name)
    }
    problems = wrong_labels(spec.kubernetes)
    for workspace in spec.workspaces:
        one = found[workspace.name]
        problems += one if isinstance(one, list) else []
    problems += stock.overbooked()
    if problems:
        raise SpecError(problems, spec.stack_file)
    placed = [one for one in found.values() if isinstance(one, PlacedWorkspace)]
    ordered = [_with_pods(one, spec, code_version) for one in placed]
    warnings = [warning for one in ordered for warning in workspace_warnings(one, spec)]
    if spec.target == "kubernetes":
        refused = not_provisioned(ordered, spec.kubernetes)
        warnings += [f"pulumi up would refuse this plan: {sentence}" for sentence in refused]
    return ClusterPlan(
        workspaces=tuple(ordered),
        free_nodes=stock.free_nodes(),
        warnings=(*warnings, *stack_warnings(ordered, spec)),
    )


def _with_pods(workspace: PlacedWorkspace, spec: Spec, code_version: str) -> PlacedWorkspace:
    """With what of the stack's config is in its pods, or where they are."""
    pods = pod_settings(workspace, spec.kubernetes, code_version) if spec.target == "kubernetes" else {}
    keys = spec.api_keys.settings if workspace.kind == "inference" else ()
    return replace(workspace, api_keys=keys, pods=pods)


def _placed(workspace: WorkspaceSpec, where: Place, spec: Spec, stock: Stock) -> PlacedWorkspace | list[Problem]:
    """Takes from the stock what it uses."""
    candidates = candidates_of(workspace, where, spec)
    if isinstance(candidates, list):
        return candidates
    if workspace.inference is not None and workspace.inference.preset is None:
        return _template(workspace, where, candidates, stock)
    demand = tuning_demand_of(workspace, spec) if workspace.tuning else demand_of(workspace, spec)
    if not candidates.sizes:
        return _undescribed(workspace, where, demand)
    fits, misfits = _ranked(demand, candidates.sizes)
    free = demand if isinstance(demand, TuningDemand) else replace(demand, nodes=None)
    everywhere = (fits, misfits) if (free, candidates.others) == (demand, candidates.sizes) else None
    elsewhere, too_small = everywhere or _ranked(free, candidates.others)
    if not fits and workspace.resource.skip_memory_check:
        fits, _ = _ranked(demand, candidates.sizes, trusting=True)
    if not fits:
        return [no_place(workspace, where, demand, misfits, elsewhere, spec.prices.currency)]
    most = _most_nodes(spec)
    easy = fits if candidates.asked or candidates.existing else [each for each in fits if _is_easy(each, most)]
    uses = [(each, _use(workspace, each)) for each in easy or fits]
    chosen, use = next((pair for pair in uses if stock.has(pair[1])), uses[0])
    stock.take(use)
    if not isinstance(demand, TuningDemand) and demand.nodes is not None:
        # The number of nodes was meant for one size; of another, as many as the same replicas need.
        elsewhere, too_small = _ranked(replace(free, replicas=chosen.replicas), candidates.others)
    return PlacedWorkspace(
        spec=workspace,
        place=where,
        facts=demand.preset,
        node=chosen.node,
        nodes=chosen.nodes,
        replicas=chosen.replicas,
        price=chosen.price,
        model=chosen,
        reason=_reason(candidates, fits, misfits, most),
        alternatives=_alternatives(chosen, elsewhere, too_small, most),
    )


def _ranked(
    demand: Demand | TuningDemand, sizes: Sizes, *, trusting: bool = False
) -> tuple[list[Placed], list[Misfit]]:
    """Placements on these sizes, cheapest first, and the sizes on which there is none, cheapest first.

    By money for an hour, sizes without a price last; then by the number of nodes and of GPUs, and by name, so that the
    order of the sizes makes no difference.
    """
    if isinstance(demand, TuningDemand):
        placed = [place_tuning(demand, size, price, trusting=trusting) for size, price in sizes]
    else:
        placed = [place(demand, size, price, trusting=trusting) for size, price in sizes]
    fits = [each for each in placed if not isinstance(each, Misfit)]
    misfits = [each for each in placed if isinstance(each, Misfit)]
    return (
        sorted(fits, key=lambda fit: (_money(fit.per_hour), fit.nodes, fit.nodes * fit.node.gpus, fit.node.name)),
        sorted(misfits, key=lambda misfit: (_money(misfit.price and misfit.price.per_hour), misfit.node.name)),
    )


def _money(per_hour: float | None) -> float:
    return float("inf") if per_hour is None else per_hour


def _template(
    workspace: WorkspaceSpec, where: Place, candidates: Candidates, stock: Stock
) -> PlacedWorkspace | list[Problem]:
    """A pod template of the user's own: nodes and money, and nothing is known of its memory."""
    if len(candidates.sizes) > 1 and not candidates.existing:
        return [
            where.at("resource", "instanceType").problem(
                found="nothing",
                allowed="a size: what a pod template needs cannot be computed",
                do="add instanceType, for example Standard_NC24ads_A100_v4",
            )
        ]
    by_money = sorted(candidates.sizes, key=lambda pair: (_money(pair[1] and pair[1].per_hour), pair[0].name))
    size, price = by_money[0] if by_money else (None, None)
    nodes = workspace.resource.count or workspace.replicas or 1
    if size is not None:
        stock.take(use_of(workspace.name, size, nodes, ()))
    return PlacedWorkspace(
        spec=workspace,
        place=where,
        facts=None,
        node=size,
        nodes=nodes,
        replicas=workspace.replicas or nodes,
        price=price,
        reason="asked for; the template's memory is not checked",
    )


def _undescribed(workspace: WorkspaceSpec, where: Place, demand: Demand | TuningDemand) -> PlacedWorkspace:
    return PlacedWorkspace(
        spec=workspace,
        place=where,
        facts=demand.preset,
        node=None,
        nodes=workspace.resource.count or 1,
        replicas=workspace.replicas or 1,
        reason="existing nodes that modelyard:kubernetes.existing does not describe",
    )


def _use(workspace: WorkspaceSpec, placement: Placed) -> Use:
    if isinstance(placement, TuningPlacement) or placement.nodes_of_replica > 1:
        return use_of(workspace.name, placement.node, placement.nodes, ())
    return use_of(workspace.name, placement.node, placement.nodes, [placement.split.gpus] * placement.replicas)


def _most_nodes(spec: Spec) -> int:
    return PROVISIONED_NODES if spec.target == "kubernetes" else EASY_NODES


def _is_easy(placement: Placed, most_nodes: int) -> bool:
    return isinstance(placement, TuningPlacement) or placement.nodes_of_replica <= most_nodes


def _reason(candidates: Candidates, fits: list[Placed], misfits: list[Misfit], most_nodes: int) -> str:
    if candidates.existing:
        return "existing nodes that the labels select"
    if candidates.asked:
        return "asked for"
    wide = sum(not _is_easy(each, most_nodes) for each in fits)
    others = [f"{len(misfits)} cannot hold it"] if misfits else []
    unpriced = sum(each.per_hour is None for each in fits)
    others += [f"{unpriced} without a price"] if unpriced else []
    bound = "more than one node" if most_nodes == 1 else f"more than {most_nodes} nodes"
    others += [f"{wide} would spread a replica over {bound}"] if wide else []
    beside = f" ({', '.join(others)})" if others else ""
    return f"the cheapest of {len(fits) - wide or len(fits)} sizes that fit{beside}"


def _alternatives(
    chosen: Placed, fits: list[Placed], misfits: list[Misfit], most_nodes: int
) -> tuple[Alternative, ...]:
    """The nearest cheaper size and why it does not do, then the next ones that would, by money."""
    paid = 0.0 if chosen.per_hour is None else chosen.per_hour / chosen.replicas
    cheaper = [each for each in misfits if each.price and each.price.per_hour < paid]
    named = [
        Alternative(size=each.node.name, nodes=1, per_hour=each.price and each.price.per_hour, reason=each.reason)
        for each in cheaper[-1:]
    ]
    named += [
        Alternative(size=each.node.name, nodes=each.nodes, per_hour=each.per_hour, reason="")
        for each in fits
        if each.node != chosen.node and _is_easy(each, most_nodes)
    ]
    return tuple(named[:ALTERNATIVES])
