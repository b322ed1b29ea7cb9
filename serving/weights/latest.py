"""Which content a name that moves, such as a tag or a branch, had when it was fetched last."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from serving.errors import StartupFailure


class Latest:
    """The record of one source in a cache."""

    def __init__(self, cache: Path, source: str) -> None:
        self._file = cache / ".latest" / hashlib.sha256(source.encode()).hexdigest()[:32]

    def or_else(self, ask: Callable[[], str], *, gone: str = "") -> str:
        """What it names now, or where nobody says, what it named: a registry that is away for an hour, or a hub that
        wants a token which replicas do not get, must not keep a replica from what was fetched before. `gone` is the
        reason of a failure that is an answer: it names nothing any more."""
        try:
            return ask()
        except StartupFailure as error:
            if error.reason == gone or not self._file.exists():
                raise
            return self._file.read_text()

    def write(self, digest: str) -> None:
        # What is fetched serves from a cache that cannot be written too.
        with suppress(OSError):
            if not self._file.exists() or self._file.read_text() != digest:
                self._file.parent.mkdir(parents=True, exist_ok=True)
                temporary = self._file.with_name(f"{self._file.name}.{digest[-12:]}")
                temporary.write_text(digest)
                temporary.replace(self._file)
