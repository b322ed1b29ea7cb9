"""The plan: everything that an update will do, decided before anything is touched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from components.planning.beside import those_beside
from components.planning.cluster_config import KubernetesSpec
from components.planning.cluster_plan import ClusterPlan, plan_on_nodes
from components.planning.config import RaySpec, Target
from components.planning.errors import SpecError
from components.planning.local_plan import LocalPlan, WorkspacePlan, plan_locally
from components.planning.local_sizing import Machine
from components.planning.local_tuning import TuningPlan
from components.planning.placed import PlacedWorkspace
from components.planning.spec import RawConfig, Spec, Surroundings, read_spec
from presets.price import Prices


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a stack will be; workspaces are sorted by name, so that their order in the file changes nothing."""

    target: Target
    machine: Machine
    workspaces: tuple[WorkspacePlan, ...]
    """On this machine; empty on other targets."""
    tunings: tuple[TuningPlan, ...]
    """On this machine; empty on other targets."""
    placed: tuple[PlacedWorkspace, ...]
    """On nodes of a cluster; empty on target local."""
    lists_workspaces: bool
    """Whether the config says which workspaces there are, be it none."""
    ray: RaySpec
    kubernetes: KubernetesSpec
    region: str
    prices: Prices
    free_nodes: Mapping[str, int]
    """Of existing nodes, how many of each group the plan leaves free."""
    beside: frozenset[str]
    """Names of workspaces on nodes whose new replicas may start while the old ones run."""
    warnings: tuple[str, ...]

    @property
    def memory_bytes(self) -> int:
        """Of this machine."""
        served = sum(workspace.memory_bytes for workspace in self.workspaces)
        return served + sum(tuning.memory.total for tuning in self.tunings)


def decide(
    raw: RawConfig, machine: Machine, *, stack_file: str, code_version: str, around: Surroundings | None = None
) -> Plan:
    """The plan of a config. Raises SpecError with all that is wrong: what cannot be understood, and what of the rest
    does not fit."""
    spec, problems = read_spec(raw, stack_file=stack_file, around=around)
    try:
        plan = make_plan(spec, machine, code_version=code_version)
    except SpecError as refused:
        raise SpecError([*problems, *refused.problems], stack_file) from None
    if problems:
        raise SpecError(problems, stack_file)
    return plan


def make_plan(spec: Spec, machine: Machine, *, code_version: str) -> Plan:
    """Decide everything. Raises SpecError if machine or nodes cannot hold it. Pure: same arguments, same plan.

    code_version: digest of the serving code, so that new code replaces the replicas.
    """
    here = LocalPlan()
    on_nodes = ClusterPlan()
    if spec.target == "local":
        here = plan_locally(spec, machine, code_version=code_version)
        warnings = here.warnings
    else:
        on_nodes = plan_on_nodes(spec, code_version=code_version)
        warnings = on_nodes.warnings
    return Plan(
        target=spec.target,
        machine=machine,
        workspaces=here.workspaces,
        tunings=here.tunings,
        placed=on_nodes.workspaces,
        lists_workspaces=spec.lists_workspaces,
        ray=spec.ray,
        kubernetes=spec.kubernetes,
        region=spec.region,
        prices=spec.prices,
        free_nodes=on_nodes.free_nodes,
        beside=those_beside(on_nodes.workspaces, on_nodes.free_nodes, spec.kubernetes, spec.target),
        warnings=(*spec.warnings, *warnings),
    )
