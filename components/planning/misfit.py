"""The refusal of a workspace that no node may hold: with numbers, and with what would do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from components.planning.config import WorkspaceSpec
from components.planning.errors import Problem
from components.planning.money import per_hour
from components.planning.place import Place
from presets.placement import Demand, Misfit, Placement, place
from presets.tuning_placement import TuningDemand, TuningPlacement


def no_place(
    workspace: WorkspaceSpec,
    where: Place,
    demand: Demand | TuningDemand,
    misfits: Sequence[Misfit],
    elsewhere: Sequence[Placement | TuningPlacement],
    currency: str,
) -> Problem:
    """misfits: why none of the candidates will do. elsewhere: where it would fit, cheapest first."""
    few = next((misfit for misfit in misfits if misfit.needs_nodes is not None), None)
    if few is not None:
        return where.at("resource", "count").problem(
            found=few.reason,
            allowed=f"{few.needs_nodes} x {few.node.name}" + ("" if workspace.replicas else ", or more"),
            do=_count_or(few, elsewhere, currency),
        )
    asked = workspace.resource.instance_type
    here = where.at("resource", "instanceType") if asked else where
    reason = misfits[0].reason if len(misfits) == 1 else _of_all(misfits)
    found = f"{demand.preset.repository.name} on {misfits[0].node.name}" if len(misfits) == 1 else _asked(demand)
    ways = [*_other_dtype(demand, misfits), *_less(demand, misfits), *_other(elsewhere, asked, currency)]
    return here.problem(
        found=found,
        allowed=f"a size that holds it: {reason}",
        do="; or ".join(ways) or _otherwise(demand),
    )


def _count_or(few: Misfit, elsewhere: Sequence[Placement | TuningPlacement], currency: str) -> str:
    words = f"write count: {few.needs_nodes}"
    fewer = next((each for each in elsewhere if each.nodes < (few.needs_nodes or 0)), None)
    if fewer is None:
        return words
    money = per_hour(fewer.per_hour, currency)
    return f"{words}; or instanceType: {fewer.node.name}, of which {fewer.nodes} will do ({money})"


def _asked(demand: Demand | TuningDemand) -> str:
    if isinstance(demand, TuningDemand):
        return f"{demand.method} tuning of {demand.preset.repository.name}"
    return f"{demand.preset.repository.name} with {demand.least_sequences} sequences of {demand.least_context} tokens"


def _of_all(misfits: Sequence[Misfit]) -> str:
    """The reason on the largest GPU: what does not fit there fits nowhere."""
    if not misfits:
        return "no size is offered"
    largest = max(misfits, key=lambda misfit: (misfit.node.gpu.usable_gib, misfit.node.gpus, misfit.node.name))
    return f"none of {len(misfits)} does; on {largest.node.name} {largest.reason}"


def _other_dtype(demand: Demand | TuningDemand, misfits: Sequence[Misfit]) -> list[str]:
    """Another number type, where the one that is asked for is all that forbids a size."""
    if isinstance(demand, TuningDemand) or demand.dtype != "bfloat16" or len(misfits) != 1:
        return []
    other = place(replace(demand, dtype="float16", nodes=None), misfits[0].node)
    return [] if isinstance(other, Misfit) else ["write inference.config.dtype: float16"]


def _otherwise(demand: Demand | TuningDemand) -> str:
    if not isinstance(demand, TuningDemand):
        return "choose a smaller preset, a shorter maxContext or fewer maxSequences"
    four_bits = "write method: qlora, " if demand.method == "lora" and "qlora" in demand.preset.tuning else ""
    return f"{four_bits}choose a smaller preset, or a smaller max_length or per_device_train_batch_size"


def _less(demand: Demand | TuningDemand, misfits: Sequence[Misfit]) -> list[str]:
    """What to ask less of, so that it fits where it was asked for."""
    if isinstance(demand, TuningDemand) or len(misfits) != 1:
        return []
    if demand.context is None and demand.sequences is None:
        return []
    less = place(replace(demand, context=None, sequences=None, nodes=None, replicas=None), misfits[0].node)
    if isinstance(less, Misfit):
        return []
    return [f"ask for less: {less.load.sequences} sequences of {less.load.context} tokens fit on {less.nodes} of it"]


def _other(elsewhere: Sequence[Placement | TuningPlacement], asked: str | None, currency: str) -> list[str]:
    if not elsewhere:
        return []
    best = elsewhere[0]
    count = "" if best.nodes == 1 else f" with {best.nodes} nodes"
    change = "write" if asked else "choose"
    return [f"{change} instanceType: {best.node.name}{count} ({per_hour(best.per_hour, currency)})"]
