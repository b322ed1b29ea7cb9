"""An example's plan, on a machine that is the same everywhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import yaml

from components.planning.local_sizing import Machine
from components.planning.plan import decide
from components.planning.preview import Before, preview
from components.planning.spec import namespaced, raw_config
from components.planning.table import render_table
from components.surroundings import read_surroundings
from presets.memory import GIB

LAPTOP = Machine(cpus=8, memory_bytes=16 * GIB)
"""The machine that the examples are planned for."""


def folders(root: Path) -> Iterator[Path]:
    """The examples' folders, by name."""
    return (file.parent for file in sorted(root.glob("*/config.yaml")))


def render(folder: Path) -> str:
    """What a first preview prints of the example. Raises SpecError if its config is wrong."""
    config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))["config"]
    raw = raw_config(namespaced(config))
    around = read_surroundings(raw, folder, lambda _: None)
    plan = decide(raw, LAPTOP, stack_file="config.yaml", code_version="example", around=around)
    return render_table(preview(plan, Before(), stack=folder.name)) + "\n"
