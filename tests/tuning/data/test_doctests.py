"""The examples in the docstrings of the data step are true."""

from __future__ import annotations

import pytest

import tuning.data
from tests.doctests import failures, modules_of


@pytest.mark.parametrize("module", modules_of(tuning.data))
def test_examples_in_docstrings_are_true(module: str) -> None:
    assert failures(module) == 0
