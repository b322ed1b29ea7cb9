"""The plans beside the examples are what a preview prints today."""

from __future__ import annotations

from pathlib import Path

import pytest

import examples
from examples.plans import folders, render

ROOT = Path(examples.__file__).parent


@pytest.mark.parametrize("folder", list(folders(ROOT)), ids=lambda folder: folder.name)
def test_the_plan_beside_an_example_is_current(folder: Path) -> None:
    assert (folder / "plan.txt").read_text(encoding="utf-8") == render(folder), "run make examples and look at the diff"
    assert (folder / "README.md").exists()


def test_the_first_example_is_the_dev_stack() -> None:
    dev = (ROOT.parent / "Pulumi.dev.yaml").read_text(encoding="utf-8")
    example = (ROOT / "one-model" / "config.yaml").read_text(encoding="utf-8")
    lines = [line for line in dev.splitlines() if not line.startswith(("#", "encryptionsalt"))]
    assert lines == example.splitlines()
