"""Runs the parts of `make test` one after another and ends with a table of them."""

import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from toolchain.console import Console, elapsed


def run_all(targets: Sequence[str], root: Path, console: Console, make: str = "make") -> int:
    """Run make targets until one fails; returns that one's status, or 0."""
    table = dict.fromkeys(targets, "not run")
    failed = None
    status = 0
    for number, target in enumerate(targets, start=1):
        console.say(f"\n{number}/{len(targets)}  make {target}")
        started = time.monotonic()
        status = subprocess.run([make, "--no-print-directory", target], cwd=root, check=False).returncode
        table[target] = f"{'FAILED' if status else 'passed'}  {elapsed(time.monotonic() - started)}"
        if status:
            failed = target
            break
    console.say("\n" + "\n".join(f"  {target:<16}{outcome}" for target, outcome in table.items()))
    if failed is not None:
        console.say(f"\nThe lines above say why; `make {failed}` runs that part alone")
    return status
