"""Whether a machine can hold all that a plan puts on it, and what to change if it cannot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from components.planning.config import InferenceSpec, PresetSpec, WorkspaceSpec
from components.planning.errors import Problem
from components.planning.local_sizing import Machine, Sizing, place, room
from components.planning.place import Place
from presets.catalog import Preset
from presets.memory import gib


@dataclass(frozen=True, kw_only=True)
class Sized:
    """A workspace of this machine, with what it needs."""

    place: Place
    spec: WorkspaceSpec
    inference: InferenceSpec
    preset: PresetSpec
    facts: Preset
    sizing: Sizing

    @property
    def replicas(self) -> int:
        return self.spec.replicas or 1

    @property
    def memory_bytes(self) -> int:
        """Of all replicas."""
        return self.replicas * self.sizing.memory.total


def fits_twice(workspace: Sized, machine: Machine) -> bool:
    """Whether old and new replicas of a workspace can run side by side while one replaces the other."""
    if machine.gpus:
        return 2 * workspace.replicas <= len(machine.gpus)
    return 2 * workspace.memory_bytes <= machine.usable_bytes


def misfits(workspaces: Sequence[Sized], machine: Machine) -> list[Problem]:
    """What does not fit, in the order of the stack file."""
    if machine.gpus:
        return [*_too_few_gpus(workspaces, machine), *_too_big_for_a_gpu(workspaces, machine)]
    return _too_big_together(workspaces, machine)


def _too_few_gpus(workspaces: Sequence[Sized], machine: Machine) -> list[Problem]:
    replicas, gpus = sum(workspace.replicas for workspace in workspaces), len(machine.gpus)
    if replicas <= gpus:
        return []
    return [
        Place("modelyard:workspaces").problem(
            found=f"{replicas} replicas in all, each of which needs a GPU",
            allowed=f"{gpus}: as many as this machine has GPUs",
            do="serve fewer workspaces or replicas",
        )
    ]


def _too_big_for_a_gpu(workspaces: Sequence[Sized], machine: Machine) -> list[Problem]:
    return [
        workspace.place.problem(
            found=f"a replica needs {workspace.sizing.memory}",
            allowed=f"at most {place(machine)}",
            do=_way_out(workspace, room(machine)),
        )
        for workspace in workspaces
        if workspace.sizing.memory.total > room(machine)
    ]


def _too_big_together(workspaces: Sequence[Sized], machine: Machine) -> list[Problem]:
    total = sum(workspace.memory_bytes for workspace in workspaces)
    if total <= machine.usable_bytes:
        return []
    largest = max(workspaces, key=lambda workspace: workspace.replicas * workspace.sizing.memory.kv_cache)
    others = total - largest.memory_bytes
    needs = "; ".join(f"{_times(workspace)} {workspace.sizing.memory}" for workspace in workspaces)
    where = largest.place if len(workspaces) == 1 else Place("modelyard:workspaces")
    return [
        where.problem(
            found=f"{gib(total)} GiB of memory needed: {needs}",
            allowed=f"at most {place(machine)}",
            do=_way_out(largest, (machine.usable_bytes - others) // largest.replicas),
        )
    ]


def _times(workspace: Sized) -> str:
    name = workspace.spec.name
    return name if workspace.replicas == 1 else f"{workspace.replicas} x {name}"


def _way_out(workspace: Sized, bytes_there_are: int) -> str:
    """How to make one replica need no more than `bytes_there_are`."""
    sizing = workspace.sizing
    fewer = sizing.sequences_in(bytes_there_are)
    if fewer >= 1:
        path = workspace.place.at("inference", "config", "maxSequences").path
        return f"set {path} to {fewer} or less (it is {sizing.max_sequences}), or a shorter maxContext"
    if sizing.fixed_bytes < bytes_there_are:
        path = workspace.place.at("inference", "config", "maxContext").path
        return f"set {path} to less than {sizing.max_context}, or choose a smaller preset"
    return "choose a smaller preset, or fewer workspaces or replicas"
