"""Where progress goes: standard error, so that the table alone is on standard output."""

from __future__ import annotations

from toolchain.console import Console

console = Console()
