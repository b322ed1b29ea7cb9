"""The plan: everything that an update will do, decided before anything is touched."""

from __future__ import annotations

from dataclasses import dataclass

from components.planning.config import InferenceConfig, RaySpec, Target
from components.planning.errors import SpecError
from components.planning.fit import Sized, fits_twice, misfits
from components.planning.names import route_prefix
from components.planning.sizing import Machine, MemoryNeed, size
from components.planning.spec import Spec
from components.planning.warnings import warnings_of
from presets.catalog import find_preset
from presets.serve_config import EngineArgs, SamplingDefaults, ServeArgs, ServiceSettings

REPLICA_CPUS = 0.1
"""Logical CPUs of a replica in Ray's books. Threads are what shares the processor; were this 1, a third model on a
machine of two cores would wait for a CPU for ever."""


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
class Plan:
    """What a stack will be; workspaces are sorted by name, so that their order in the file changes nothing."""

    target: Target
    machine: Machine
    workspaces: tuple[WorkspacePlan, ...]
    ray: RaySpec
    warnings: tuple[str, ...]

    @property
    def memory_bytes(self) -> int:
        return sum(workspace.memory_bytes for workspace in self.workspaces)


def make_plan(spec: Spec, machine: Machine, *, code_version: str) -> Plan:
    """Decide everything. Raises SpecError if the machine cannot hold it. Pure: same arguments, same plan.

    code_version: digest of the serving code, so that new code replaces the replicas.
    """
    sized = [
        Sized(index=index, spec=workspace, sizing=size(workspace, machine))
        for index, workspace in enumerate(spec.workspaces)
    ]
    problems = misfits(sized, machine)
    if problems:
        raise SpecError(problems, spec.stack_file)
    ordered = sorted(sized, key=lambda workspace: workspace.spec.name)
    return Plan(
        target=spec.target,
        machine=machine,
        workspaces=tuple(_plan(workspace, machine, code_version) for workspace in ordered),
        ray=spec.ray,
        warnings=tuple(warning for workspace in ordered for warning in warnings_of(workspace, machine)),
    )


def _plan(sized: Sized, machine: Machine, code_version: str) -> WorkspacePlan:
    workspace, sizing = sized.spec, sized.sizing
    inference = workspace.inference
    preset = find_preset(inference.preset.name)
    weights = inference.preset.preset_options.weights or preset.weights_source
    return WorkspacePlan(
        name=workspace.name,
        preset=inference.preset.name,
        repository=preset.repository.name,
        weights=weights,
        route=route_prefix(workspace.name),
        serve_args=ServeArgs(
            workspace=workspace.name,
            preset=inference.preset.name,
            weights=weights,
            engine=EngineArgs(
                dtype=inference.config.dtype,
                max_context=sizing.max_context,
                max_sequences=sizing.max_sequences,
                threads=sizing.threads,
            ),
            code_version=code_version,
        ),
        settings=_settings(inference.config),
        replicas=workspace.replicas,
        num_cpus=REPLICA_CPUS,
        num_gpus=1.0 if machine.gpus else 0.0,
        memory=sizing.memory,
        surge=fits_twice(sized, machine),
        where=machine.describe(),
        ready_timeout_seconds=workspace.ready_timeout_seconds,
    )


def _settings(config: InferenceConfig) -> ServiceSettings:
    sampling = SamplingDefaults.model_validate(config.sampling.model_dump(exclude_none=True))
    if config.max_waiting_requests is None:
        return ServiceSettings(sampling=sampling)
    return ServiceSettings(sampling=sampling, max_waiting_requests=config.max_waiting_requests)
