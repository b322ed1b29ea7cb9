"""An example's plan, on a machine that is the same everywhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import yaml

from components.planning.changes import changes
from components.planning.plan import make_plan
from components.planning.sizing import Machine
from components.planning.spec import RawConfig, parse_spec
from components.planning.table import render_table
from presets.memory import GIB

LAPTOP = Machine(cpus=8, memory_bytes=16 * GIB)
"""The machine that the examples are planned for."""


def folders(root: Path) -> Iterator[Path]:
    """The examples' folders, by name."""
    return (file.parent for file in sorted(root.glob("*/config.yaml")))


def render(folder: Path) -> str:
    """What a first preview prints of the example. Raises SpecError if its config is wrong."""
    config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))["config"]
    raw = RawConfig(
        target=config.get("modelyard:target"),
        workspaces=config.get("modelyard:workspaces"),
        ray=config.get("modelyard:ray"),
    )
    plan = make_plan(parse_spec(raw, stack_file="config.yaml"), LAPTOP, code_version="example")
    return render_table(plan, changes(plan, {})) + "\n"
