"""Runs other programs so that none outlives the bootstrap and a failure shows what the program said."""

import os
import shlex
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from toolchain.errors import ToolchainError

TAIL_LINES = 30


def run(argv: Sequence[str | Path], *, env: Mapping[str, str], cwd: Path | None = None, way_out: str) -> str:
    """Run a program to its end and return its standard output.

    Raises ToolchainError, with the last lines that the program wrote, if it cannot be started or fails. The program has
    a process group of its own, which is ended when this function is left early: by Ctrl-C, by a signal, by an error.
    """
    words = [str(word) for word in argv]
    try:
        process = subprocess.Popen(
            words,
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            process_group=0,
        )
    except OSError as error:
        raise ToolchainError(f"{words[0]} cannot be started: {error.strerror}", way_out) from error
    try:
        output, errors = process.communicate()
    except BaseException:
        end_group(process)
        raise
    if process.returncode != 0:
        said = "\n".join((output + errors).strip().splitlines()[-TAIL_LINES:])
        raise ToolchainError(f"`{shlex.join(words)}` failed with status {process.returncode}:\n{said}", way_out)
    return output


def answer(argv: Sequence[str | Path], *, env: Mapping[str, str], timeout: float = 20.0) -> str | None:
    """What a program answers to a short question, or None if it is missing, fails or does not answer in time."""
    try:
        result = subprocess.run(
            [str(word) for word in argv],
            env=dict(env),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout if result.returncode == 0 else None


def end_group(process: subprocess.Popen[str]) -> None:
    """Ask a process group to end, and make it end five seconds later."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            return
        try:
            process.communicate(timeout=5)
        except subprocess.TimeoutExpired:
            continue
