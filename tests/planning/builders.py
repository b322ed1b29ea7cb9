"""Configs, machines and plans for tests of planning."""

from __future__ import annotations

from typing import Any

import yaml

from components.planning.plan import Plan, make_plan
from components.planning.sizing import Gpu, Machine
from components.planning.spec import RawConfig, Spec, parse_spec
from presets.memory import GIB

STACK_FILE = "Pulumi.dev.yaml"

LAPTOP = Machine(cpus=4, memory_bytes=16 * GIB)
SERVER = Machine(cpus=64, memory_bytes=2**60)
"""Big enough that nothing is refused for want of memory."""
ONE_GPU = Machine(cpus=16, memory_bytes=128 * GIB, gpus=(Gpu(name="NVIDIA A10", memory_bytes=24 * GIB),))


def spec_of(text: str) -> Spec:
    """The spec of a stack config, written as YAML without the namespace in front of its keys."""
    config: Any = yaml.safe_load(text) or {}
    other = tuple(config.keys() - {"target", "workspaces", "ray"})
    return parse_spec(
        RawConfig(target=config.get("target"), workspaces=config.get("workspaces"), ray=config.get("ray"), other=other),
        stack_file=STACK_FILE,
    )


def plan_of(text: str, machine: Machine = LAPTOP, code_version: str = "c0de") -> Plan:
    return make_plan(spec_of(text), machine, code_version=code_version)


def chat(more: str = "", *, config: str = "", preset: str = "name: smollm2-135m-instruct") -> str:
    """A stack with one workspace, chat: `more` is added to it, `config` to its settings; `preset` replaces its own."""
    inference = f"preset: {{{preset}}}" + (f", config: {{{config}}}" if config else "")
    return f"workspaces: [{{name: chat, inference: {{{inference}}}" + (f", {more}" if more else "") + "}]"
