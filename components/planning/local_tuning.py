"""The plan of a tuning on this machine: a Ray job beside the models that it serves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from components.planning.config import TuningSpec
from components.planning.errors import Problem
from components.planning.ignored import ignored_here
from components.planning.local_sizing import DEFAULT_DTYPE, Machine, place, room
from components.planning.local_warnings import of_nodes
from components.planning.place import Place
from components.planning.spec import Spec
from components.planning.training_values import tuning_demand
from components.planning.tuned_adapters import followed, tuned_source, tunings_in
from components.planning.tuning_request import TuningSetup, dtype_of, tuning_job
from presets.memory import dtype_bytes, gib, parameter_count
from presets.tuning_job import TuningJob
from presets.tuning_memory import TuningMemory, tuning_memory
from presets.tuning_placement import SEQUENCE_LENGTH, TuningDemand

TIMEOUT_SECONDS = 86_400
"""Until an update gives a tuning of this machine up, where the config does not say."""


@dataclass(frozen=True, kw_only=True)
class TuningPlan:
    """One tuning as it will run."""

    name: str
    preset: str
    repository: str
    job: TuningJob
    """Its directory is the reconciliation's to say."""
    num_gpus: int
    memory: TuningMemory
    """Of its process, or on its GPU."""
    where: str
    ready_timeout_seconds: int
    is_pinned: bool = False
    """Whether the stack's workspaces serve versions of it that they name, and none serves the one promoted last."""


def plan_tunings(spec: Spec, machine: Machine) -> tuple[tuple[TuningPlan, ...], list[Problem], list[str]]:
    """The tunings by name, what is wrong with them, and warnings about them."""
    plans: list[TuningPlan] = []
    problems: list[Problem] = []
    warnings: list[str] = []
    sources = _tuned_sources(spec)
    for where, workspace in zip(spec.places, spec.workspaces, strict=True):
        tuning = workspace.tuning
        if tuning is None:
            continue
        facts = spec.models.find(tuning.preset.name)
        dtype = dtype_of(tuning) or DEFAULT_DTYPE
        demand = tuning_demand(tuning, facts)
        try:
            checkpointing, memory = _sized(demand, machine, dtype_bytes(dtype))
        except ValueError as unknown:
            problems.append(
                where.at("tuning", "preset").problem(
                    found=tuning.preset.name, allowed=str(unknown), do="choose another preset, or another method"
                )
            )
            continue
        if memory.total > room(machine):
            problems.append(_too_big(where, demand, memory, machine))
        setup = TuningSetup(
            dtype=dtype,
            max_length=min(demand.sequence_length or SEQUENCE_LENGTH, facts.max_context),
            batch_size=demand.batch_size,
            gradient_checkpointing=checkpointing,
            devices=1,
            planned_bytes=memory.total,
        )
        plans.append(
            TuningPlan(
                name=workspace.name,
                preset=tuning.preset.name,
                repository=facts.repository.name,
                job=tuning_job(workspace, facts, setup),
                num_gpus=1 if machine.gpus else 0,
                memory=memory,
                where=machine.describe(),
                ready_timeout_seconds=workspace.ready_timeout_seconds or TIMEOUT_SECONDS,
                is_pinned=workspace.name in tunings_in(sources) and workspace.name not in followed(sources),
            )
        )
        sentences = [*of_nodes(workspace), *_ignored(tuning)]
        warnings += [f"{workspace.name}: {sentence}" for sentence in sentences]
    return tuple(sorted(plans, key=lambda plan: plan.name)), problems, warnings


def _tuned_sources(spec: Spec) -> list[str]:
    """Of all adapters of the stack that a tuning of it makes."""
    adapters = [each for workspace in spec.workspaces if workspace.inference for each in workspace.inference.adapters]
    return [source for adapter in adapters if (source := tuned_source(adapter.source)) is not None]


def _ignored(tuning: TuningSpec) -> list[str]:
    options, source, output = tuning.preset.preset_options, tuning.input, tuning.output
    logins = {
        "tuning.input.imagePullSecrets": bool(source.image_pull_secrets),
        "tuning.output.imagePushSecret": output is not None and output.image_push_secret is not None,
    }
    images = {
        "tuning.preset.presetOptions.image": options.image is not None,
        "tuning.preset.presetOptions.imagePullSecrets": bool(options.image_pull_secrets),
    }
    tokens = {"tuning.preset.presetOptions.modelAccessSecret": options.model_access_secret is not None}
    return [
        *ignored_here(logins, "the login is that of docker's config.json"),
        *ignored_here(images, "no container runs here"),
        *ignored_here(tokens, "the token is HF_TOKEN of the environment"),
        *ignored_here({"tuning.input.name": source.name is not None}, "data need no name"),
    ]


def too_many_together(
    tunings: Sequence[TuningPlan], served_bytes: int, served_gpus: int, machine: Machine
) -> list[Problem]:
    """What does not fit beside what is served: tunings run while the models answer."""
    everywhere = Place("modelyard:workspaces")
    if machine.gpus:
        wanted, there_are = served_gpus + sum(plan.num_gpus for plan in tunings), len(machine.gpus)
        if not tunings or wanted <= there_are:
            return []
        return [
            everywhere.problem(
                found=f"{wanted} GPUs wanted, by replicas and tunings together",
                allowed=f"{there_are}: as many as this machine has",
                do="serve fewer replicas while it is tuned, or tune on another machine",
            )
        ]
    total = served_bytes + sum(plan.memory.total for plan in tunings)
    if not tunings or total <= machine.usable_bytes:
        return []
    return [
        everywhere.problem(
            found=f"{gib(total)} GiB of memory needed: {gib(served_bytes)} by what is served, "
            + ", ".join(f"{gib(plan.memory.total)} by {plan.name}" for plan in tunings),
            allowed=f"at most {place(machine)}",
            do="serve less beside it, or write a shorter TrainingArguments.max_length",
        )
    ]


def _sized(demand: TuningDemand, machine: Machine, weight_bytes: int) -> tuple[bool, TuningMemory]:
    """Without gradient checkpointing where that fits, else with it, unless the config says."""
    asked = demand.gradient_checkpointing
    needs = {
        each: _need(demand, machine, weight_bytes, each) for each in ((False, True) if asked is None else (asked,))
    }
    return next((pair for pair in needs.items() if pair[1].total <= room(machine)), list(needs.items())[-1])


def _need(demand: TuningDemand, machine: Machine, weight_bytes: int, checkpointing: bool) -> TuningMemory:
    return tuning_memory(
        demand.preset.shape,
        parameters=parameter_count(demand.preset),
        method=demand.method,
        targets=demand.targets or demand.preset.lora_targets,
        rank=demand.rank,
        sequence_length=min(demand.sequence_length or SEQUENCE_LENGTH, demand.preset.max_context),
        batch_size=demand.batch_size,
        gradient_checkpointing=checkpointing,
        weight_bits=demand.weight_bits,
        dtype_bytes=weight_bytes,
        on_gpu=bool(machine.gpus),
    )


def _too_big(where: Place, demand: TuningDemand, memory: TuningMemory, machine: Machine) -> Problem:
    smaller = "method: qlora, " if demand.method == "lora" and "qlora" in demand.preset.tuning else ""
    return where.at("tuning").problem(
        found=f"a step needs {memory}",
        allowed=f"at most {place(machine)}",
        do=f"write {smaller}a smaller per_device_train_batch_size or max_length, or choose a smaller preset",
    )
