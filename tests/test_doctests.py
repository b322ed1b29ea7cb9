"""The examples in the docstrings of what runs beside Pulumi are true."""

from __future__ import annotations

import pytest

import components
import presets
import toolchain
from tests.doctests import failures, modules_of


@pytest.mark.parametrize("module", modules_of(components, presets, toolchain))
def test_examples_in_docstrings_are_true(module: str) -> None:
    assert failures(module) == 0
