"""A plan as a document: every figure that a preview shows, ready for the table, for Markdown and for JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, cast

from pydantic.alias_generators import to_camel

from components.planning.change_rules import DELETE
from components.planning.local_plan import WorkspacePlan
from components.planning.local_tuning import TuningPlan
from components.planning.money import month
from components.planning.names import base_url
from components.planning.placed import Alternative, PlacedWorkspace
from components.planning.plan import Plan
from components.planning.record import Record
from presets.memory import gib
from presets.placement import Placement
from presets.throughput import BUSY_SEQUENCES, tokens_per_second
from presets.tuning_placement import TuningPlacement

FORMAT = 1
"""Of the JSON; a field that goes or changes its meaning makes it another number."""


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes of the fullest GPU, or on a machine without one of all replicas together."""

    of: str
    """What it is the memory of."""
    parts: dict[str, int]
    needed: int
    there_is: int


@dataclass(frozen=True, kw_only=True)
class Row:
    """One workspace. Empty text and None: does not apply, or is not known."""

    name: str
    kind: str = ""
    model: str = ""
    repository: str = ""
    where: str = ""
    instance_type: str = ""
    nodes: int = 0
    gpus: int = 0
    gpu: str = ""
    parallelism: str = ""
    replicas: int = 0
    engine: str = ""
    dtype: str = ""
    context: int | None = None
    sequences: int | None = None
    memory: Memory | None = None
    spot: bool = False
    per_hour: float | None = None
    per_month: float | None = None
    per_million_tokens: float | None = None
    endpoint: str = ""
    change: str = ""
    reason: str = ""
    limited_by: str = ""
    alternatives: tuple[Alternative, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Report:
    """The plan of a stack. Money is in `currency`; sums leave out what is not known, and say so in `unpriced`."""

    format: int
    stack: str
    target: str
    region: str
    currency: str
    prices: str
    workspaces: tuple[Row, ...]
    per_hour: float
    per_month: float
    deployed_per_hour: float | None
    """None, as the differences then are, where it cannot be compared."""
    difference_per_hour: float | None
    difference_per_month: float | None
    not_compared: str
    """Why there is no difference; empty if there is one."""
    unpriced: tuple[str, ...]
    machine_memory: Memory | None
    warnings: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain values, in the order of the fields, with keys in camelCase as in the config and the outputs."""
        return _plain(self)


def _plain(value: Any) -> Any:  # noqa: ANN401 - any value of the dataclasses above
    if is_dataclass(value):
        return {to_camel(field.name): _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        parts = cast("dict[str, Any]", value)
        return {to_camel(name.lower().replace(" ", "_")): _plain(item) for name, item in parts.items()}
    return [_plain(item) for item in cast("tuple[Any, ...]", value)] if isinstance(value, tuple) else value


def make_report(
    plan: Plan,
    changes: Mapping[str, str],
    *,
    stack: str,
    deployed: Mapping[str, Record] | None = None,
    serve_port: int | None = None,
) -> Report:
    """changes: a sentence for each workspace, those that go included. deployed: the records of the last update.
    serve_port: where Serve listens, if Ray runs already; it counts where the config asks for no port."""
    rows = {row.name: row for row in (*_local_rows(plan, serve_port), *map(_placed_row, plan.placed))}
    rows |= {name: Row(name=name) for name in changes.keys() - rows.keys()}
    ordered = tuple(replace(rows[name], change=changes.get(name, DELETE)) for name in sorted(rows))
    now = sum(row.per_hour or 0.0 for row in ordered)
    before, not_compared = _deployed_per_hour(deployed or {}, plan.prices.currency)
    return Report(
        format=FORMAT,
        stack=stack,
        target=plan.target,
        region="" if plan.target == "local" else plan.region,
        currency=plan.prices.currency,
        prices="; ".join(sorted({each.price.origin for each in plan.placed if each.price})),
        workspaces=ordered,
        per_hour=now,
        per_month=month(now) or 0.0,
        deployed_per_hour=before,
        difference_per_hour=None if before is None else now - before,
        difference_per_month=None if before is None else month(now - before),
        not_compared=not_compared,
        unpriced=tuple(each.name for each in plan.placed if each.price is None),
        machine_memory=_machine_memory(plan),
        warnings=plan.warnings,
    )


def _deployed_per_hour(deployed: Mapping[str, Record], currency: str) -> tuple[float | None, str]:
    """Of everything that is deployed; or None, and why it cannot be compared."""
    here = {name: record for name, record in deployed.items() if record.get("target") != "local"}
    nameless = sorted(name for name, record in here.items() if not isinstance(record.get("perHour"), int | float))
    if nameless:
        return None, f"no price is known of what is deployed of {', '.join(nameless)}"
    others = sorted({str(record.get("currency", currency)) for record in here.values()} - {currency})
    if others:
        return None, f"what is deployed was counted in {', '.join(others)}"
    return float(sum(cast("float", record["perHour"]) for record in here.values())), ""


def _local_rows(plan: Plan, serve_port: int | None) -> list[Row]:
    port = plan.ray.serve_port or serve_port
    tunings = [_tuning_row(tuning, plan) for tuning in plan.tunings]
    return [*(_local_row(workspace, plan, port) for workspace in plan.workspaces), *tunings]


def _tuning_row(tuning: TuningPlan, plan: Plan) -> Row:
    job, machine = tuning.job, plan.machine
    there_is = min(gpu.memory_bytes for gpu in machine.gpus) if tuning.num_gpus else machine.usable_bytes
    return Row(
        name=tuning.name,
        kind="tuning",
        model=tuning.preset,
        repository=tuning.repository,
        where=tuning.where,
        gpus=tuning.num_gpus,
        replicas=1,
        engine=job.method,
        dtype=job.dtype,
        context=job.max_length,
        sequences=job.batch_size,
        memory=Memory(of=tuning.where, parts=tuning.memory.parts(), needed=tuning.memory.total, there_is=there_is),
    )


def _local_row(workspace: WorkspacePlan, plan: Plan, port: int | None) -> Row:
    engine = workspace.serve_args.engine
    there_is = (
        workspace.replicas * min(gpu.memory_bytes for gpu in plan.machine.gpus)
        if workspace.num_gpus
        else plan.machine.usable_bytes
    )
    parts = {name: workspace.replicas * count for name, count in workspace.memory.parts().items()}
    return Row(
        name=workspace.name,
        kind="inference",
        model=workspace.preset,
        repository=workspace.repository,
        where=workspace.where,
        gpus=round(workspace.num_gpus * workspace.replicas),
        replicas=workspace.replicas,
        engine=engine.kind,
        dtype=engine.dtype,
        context=engine.max_context,
        sequences=engine.max_sequences,
        memory=Memory(of=workspace.where, parts=parts, needed=workspace.memory_bytes, there_is=there_is),
        endpoint=base_url(workspace.name, port) if port else "port chosen at up",
    )


def _machine_memory(plan: Plan) -> Memory | None:
    if not (plan.workspaces or plan.tunings) or plan.machine.gpus:
        return None
    left = f"{gib(plan.machine.memory_bytes)} GiB less what Ray and the system take"
    return Memory(of=left, parts={}, needed=plan.memory_bytes, there_is=plan.machine.usable_bytes)


def _placed_row(workspace: PlacedWorkspace) -> Row:
    node, model = workspace.node, workspace.model
    row = Row(
        name=workspace.name,
        kind=workspace.kind,
        model=workspace.preset or "own template",
        repository=workspace.facts.repository.name if workspace.facts else "",
        where=f"{workspace.nodes} x {node.name}" if node else "existing nodes, not described",
        instance_type=node.size_name if node else "",
        nodes=workspace.nodes,
        gpus=workspace.gpus,
        gpu=node.gpu.name if node else "",
        replicas=workspace.replicas,
        spot=workspace.spot,
        per_hour=workspace.per_hour,
        per_month=month(workspace.per_hour),
        reason=workspace.reason,
        alternatives=workspace.alternatives,
    )
    if model is None:
        return row
    need = model.need
    memory = Memory(of=model.node.gpu.name, parts=need.parts(), needed=need.total, there_is=model.room)
    row = replace(row, memory=memory, limited_by=model.binding)
    return _of_job(row, workspace, model) if isinstance(model, TuningPlacement) else _of_service(row, workspace, model)


def _of_service(row: Row, workspace: PlacedWorkspace, model: Placement) -> Row:
    load = model.load
    return replace(
        row,
        parallelism=_parallelism(model),
        engine=load.engine,
        dtype=load.dtype if load.quantization is None else f"{load.quantization}, {load.dtype}",
        context=load.context,
        sequences=load.sequences,
        per_million_tokens=_per_million_tokens(workspace, model),
    )


def _per_million_tokens(workspace: PlacedWorkspace, model: Placement) -> float | None:
    """Money for a million generated tokens of a service that is always busy."""
    load, hourly = model.load, workspace.per_hour
    asked = workspace.spec.inference.config.max_sequences if workspace.spec.inference else None
    measured_so = load.quantization is None and load.dtype == "bfloat16" and (asked or BUSY_SEQUENCES) >= BUSY_SEQUENCES
    if not measured_so or hourly is None:
        return None
    known = tokens_per_second(workspace.preset, model.node.gpu.name, model.split.gpus, load.engine)
    return None if known is None else hourly / (known * model.replicas * 3600 / 1e6)


def _parallelism(model: Placement) -> str:
    parts = [str(model.split)] if model.split.gpus > 1 else []
    parts += [f"data {model.replicas}"] if model.replicas > 1 else []
    return ", ".join(parts) or "1 GPU"


def _of_job(row: Row, workspace: PlacedWorkspace, model: TuningPlacement) -> Row:
    tuning = workspace.spec.tuning
    assert tuning is not None
    return replace(
        row,
        parallelism=f"data {model.node.gpus}" if model.node.gpus > 1 else "1 GPU",
        engine=tuning.method,
        dtype=model.quantization or "16 bits",
        context=model.sequence_length,
        sequences=model.batch_size,
    )
