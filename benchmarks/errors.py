"""What ends a benchmark."""

from __future__ import annotations


class BenchmarkFailed(Exception):
    """Nothing can be measured; the text says why."""


class ServiceFailed(BenchmarkFailed):
    """A service did not start or answered with an error; the others can still be measured."""
