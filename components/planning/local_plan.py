"""The plan of target local: every workspace as one Ray Serve application on this machine."""

from __future__ import annotations

from dataclasses import dataclass

from components.planning.adapter_rules import adapter_source
from components.planning.errors import SpecError
from components.planning.local_fit import Sized, fits_twice, misfits
from components.planning.local_sizing import DEFAULT_DTYPE, Machine, size
from components.planning.local_tuning import TuningPlan, plan_tunings, too_many_together
from components.planning.local_warnings import local_stack_warnings, warnings_of
from components.planning.names import route_prefix
from components.planning.service_settings import service_settings
from components.planning.spec import Spec
from presets.memory import MemoryNeed
from presets.serve_config import ApiKey, EngineArgs, ServeArgs, ServiceSettings

REPLICA_CPUS = 0.1
"""Logical CPUs of a replica in Ray's books. Threads are what shares the processor; were this 1, a third model on a
machine of two cores would wait for a CPU for ever."""


READY_TIMEOUT_SECONDS = 600
"""Seconds until an update gives a workspace of this machine up, where the config does not say."""


@dataclass(frozen=True, kw_only=True)
class WorkspacePlan:
    """One workspace as it will run."""

    name: str
    preset: str
    repository: str
    weights: str
    """A weights source, in the grammar of presets.weights_source."""
    route: str
    serve_args: ServeArgs
    settings: ServiceSettings
    replicas: int
    num_cpus: float
    """Of one replica, in Ray's books."""
    num_gpus: float
    """Of one replica."""
    memory: MemoryNeed
    """Of one replica: on its GPU if it has one, otherwise in the machine."""
    surge: bool
    """Whether new replicas start beside the old ones, so that a replacement fails or succeeds without an outage."""
    where: str
    ready_timeout_seconds: int

    @property
    def memory_bytes(self) -> int:
        """Of all replicas."""
        return self.replicas * self.memory.total


@dataclass(frozen=True, kw_only=True)
class LocalPlan:
    """All of this machine; workspaces and tunings by name."""

    workspaces: tuple[WorkspacePlan, ...] = ()
    tunings: tuple[TuningPlan, ...] = ()
    warnings: tuple[str, ...] = ()


def plan_locally(spec: Spec, machine: Machine, *, code_version: str) -> LocalPlan:
    """Raises SpecError if the machine cannot hold everything."""
    sized = _sized(spec, machine)
    tunings, problems, warnings = plan_tunings(spec, machine)
    problems += misfits(sized, machine)
    ordered = sorted(sized, key=lambda workspace: workspace.spec.name)
    workspaces = tuple(_plan(workspace, machine, code_version, spec.api_keys.settings) for workspace in ordered)
    if not problems:
        served = sum(workspace.memory_bytes for workspace in workspaces)
        gpus = sum(workspace.replicas for workspace in workspaces)
        problems = too_many_together(tunings, served, gpus, machine)
    if problems:
        raise SpecError(problems, spec.stack_file)
    return LocalPlan(
        workspaces=workspaces,
        tunings=tunings,
        warnings=(
            *local_stack_warnings(spec),
            *(warning for workspace in ordered for warning in warnings_of(workspace, machine)),
            *warnings,
        ),
    )


def _sized(spec: Spec, machine: Machine) -> list[Sized]:
    sized: list[Sized] = []
    for place, workspace in zip(spec.places, spec.workspaces, strict=True):
        inference = workspace.inference
        if inference is None or inference.preset is None:
            continue  # a tuning, or refused before by components.planning.local_rules
        facts = spec.models.find(inference.preset.name)
        sizing = size(facts, inference, workspace.replicas or 1, machine)
        preset = inference.preset
        sized.append(Sized(place=place, spec=workspace, inference=inference, preset=preset, facts=facts, sizing=sizing))
    return sized


def _plan(sized: Sized, machine: Machine, code_version: str, api_keys: tuple[ApiKey, ...]) -> WorkspacePlan:
    workspace, sizing, inference = sized.spec, sized.sizing, sized.inference
    weights = sized.preset.preset_options.weights or sized.facts.weights_source
    return WorkspacePlan(
        name=workspace.name,
        preset=sized.preset.name,
        repository=sized.facts.repository.name,
        weights=weights,
        route=route_prefix(workspace.name),
        serve_args=ServeArgs(
            workspace=workspace.name,
            preset=sized.preset.name,
            weights=weights,
            tool_parser=sized.facts.parsers.tool or None,
            reasoning_parser=sized.facts.parsers.reasoning or None,
            engine=EngineArgs(
                dtype=inference.config.dtype or DEFAULT_DTYPE,
                quantization=inference.config.quantization,
                max_context=sizing.max_context,
                max_sequences=sizing.max_sequences,
                threads=sizing.threads,
            ),
            code_version=code_version,
        ),
        settings=service_settings(inference, api_keys, adapter_source),
        replicas=sized.replicas,
        num_cpus=REPLICA_CPUS,
        num_gpus=1.0 if machine.gpus else 0.0,
        memory=sizing.memory,
        surge=fits_twice(sized, machine),
        where=machine.describe(),
        ready_timeout_seconds=workspace.ready_timeout_seconds or READY_TIMEOUT_SECONDS,
    )
