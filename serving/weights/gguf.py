"""GGUF -> safetensors in a process of its own, so that the caller needs neither torch nor the memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, Any

from serving.weights import space
from serving.weights.errors import WeightsError
from serving.weights.model import Progress, Report

_IMPORT_ROOT = Path(__file__).parents[2]


def convert(file: Path, target: Path, source: str, report: Report) -> dict[str, str]:
    """Write `file` as a bf16 checkpoint into `target`; returns the versions of what converted it.

    The converter ends when this process does, however that ends. Raises WeightsError: WeightsCorrupt, NoSpace before
    and while writing, ConversionFailed with the converter's own last words.
    """
    with tempfile.TemporaryFile("w+", errors="replace") as stderr, _converter(file, target, stderr) as process:
        try:
            done = _follow(process, file, target, source, report)
        except BaseException:
            process.kill()
            raise
        process.wait()
        if process.returncode == 0 and done is not None:
            return done
        stderr.seek(0)
        last_words = [line.strip() for line in stderr if line.strip()][-1:] or [f"exit status {process.returncode}"]
    if process.returncode == -9:
        last_words = ["killed, most likely because memory ran out: it needs about 3 times the size in bf16"]
    raise WeightsError("ConversionFailed", f"{source}: {_doing(file)} failed: {last_words[0]}")


def _converter(file: Path, target: Path, stderr: IO[str]) -> subprocess.Popen[str]:
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, [str(_IMPORT_ROOT), os.environ.get("PYTHONPATH")])),
        "PYTHONSAFEPATH": "1",  # a file in the working directory must not shadow a library
        "HF_HUB_OFFLINE": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "serving.weights.convert", str(file), str(target)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        env=environment,
        text=True,
    )


def _follow(
    process: subprocess.Popen[str], file: Path, target: Path, source: str, report: Report
) -> dict[str, str] | None:
    """Pass the converter's messages on; returns its versions when it is done, None if it ends without that."""
    assert process.stdout is not None, "started with a pipe"
    need: int | None = None
    doing = _doing(file)
    for line in process.stdout:
        message: dict[str, Any] = json.loads(line)
        match message["event"]:
            case "need":
                need = int(message["bytes"])
                space.require(target, need, doing)
            case "progress":
                report(Progress(message=f"{doing}: {message['message']}", total=need))
            case "corrupt":
                raise WeightsError(
                    "WeightsCorrupt",
                    f"{source}: {file.name} is truncated or damaged ({message['message']}): fetch it again",
                )
            case "full":
                raise space.no_space(target, doing, need=need)
            case "done":
                return message["versions"]
    return None


def _doing(file: Path) -> str:
    return f"converting {file.name} to safetensors"
