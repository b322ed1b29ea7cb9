"""Configs, machines and plans for tests of planning."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from components.planning.errors import Problem, SpecError
from components.planning.local_sizing import Gpu, Machine
from components.planning.placed import PlacedWorkspace
from components.planning.plan import Plan, decide
from components.planning.preview import Before, preview
from components.planning.spec import Spec, Surroundings, parse_spec, raw_config
from components.planning.table import render_table
from presets.memory import GIB

STACK_FILE = "Pulumi.dev.yaml"

LAPTOP = Machine(cpus=4, memory_bytes=16 * GIB)
SERVER = Machine(cpus=64, memory_bytes=2**60)
"""Big enough that nothing is refused for want of memory."""
ONE_GPU = Machine(cpus=16, memory_bytes=128 * GIB, gpus=(Gpu(name="NVIDIA A10", memory_bytes=24 * GIB),))


def spec_of(text: str, around: Surroundings | None = None) -> Spec:
    """The spec of a stack config, written as YAML without the namespace in front of its keys."""
    config: Any = yaml.safe_load(text) or {}
    return parse_spec(raw_config(config), stack_file=STACK_FILE, around=around)


def plan_of(
    text: str, machine: Machine = LAPTOP, code_version: str = "c0de", around: Surroundings | None = None
) -> Plan:
    raw = raw_config(yaml.safe_load(text) or {})
    return decide(raw, machine, stack_file=STACK_FILE, code_version=code_version, around=around)


def table_of(plan: Plan, before: Before | None = None) -> str:
    """What a preview prints of a plan."""
    return render_table(preview(plan, before or Before(), stack="dev"))


def chat(more: str = "", *, config: str = "", preset: str = "name: smollm2-135m-instruct") -> str:
    """A stack with one workspace, chat: `more` is added to it, `config` to its settings; `preset` replaces its own."""
    inference = f"preset: {{{preset}}}" + (f", config: {{{config}}}" if config else "")
    return f"workspaces: [{{name: chat, inference: {{{inference}}}" + (f", {more}" if more else "") + "}]"


def only(text: str, around: Surroundings | None = None) -> PlacedWorkspace:
    (workspace,) = plan_of(text, around=around).placed
    return workspace


def problem_of(text: str) -> Problem:
    with pytest.raises(SpecError) as refused:
        plan_of(text)
    (problem,) = refused.value.problems
    return problem
