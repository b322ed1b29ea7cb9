"""The examples in the docstrings of what runs beside torch are true."""

from __future__ import annotations

import pytest

import serving
from tests.doctests import failures, modules_of


@pytest.mark.parametrize("module", modules_of(serving))
def test_examples_in_docstrings_are_true(module: str) -> None:
    assert failures(module) == 0
