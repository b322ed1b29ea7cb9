"""One `pulumi up` for all tests that only look at what it made; a fresh yard for those that break it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.stack.yard import Yard, workspace

CHAT = "chat"


@pytest.fixture(scope="session")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yard]:
    """A stack with one workspace, `chat`, up and ready."""
    yard = Yard(tmp_path_factory.mktemp("shared"))
    try:
        yard.up(workspace(CHAT))
        yield yard
    finally:
        yard.close()


@pytest.fixture
def idle_yard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yard]:
    """A stack that was never updated: no Ray runs."""
    yard = Yard(tmp_path_factory.mktemp("idle"))
    try:
        yield yard
    finally:
        yard.close()
