"""python -m serving.adapters SOURCE [--model DIRECTORY] [--rank N] [--cache-dir DIRECTORY]

Fetches an adapter and checks it as a replica does before its engine sees it: with --model against that model's config.
JSON lines on standard output: `progress`, then `done` or `error`. Exit status: 0 done, 1 refused, 2 no source.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from presets.adapter_source import parse_adapter_source
from presets.serve_config import DEFAULT_RANK
from serving.adapters.check import BaseModel, check
from serving.adapters.fetch import default_directory, fetch
from serving.engines.protocol import AdapterRefused
from serving.weights.model import Progress


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    base = BaseModel.of(options.model, [options.model.name]) if options.model else BaseModel(names=())
    try:
        source = parse_adapter_source(options.source)
        fetched = fetch(source, options.cache_dir or default_directory(), _Progress())
        remark = check(fetched.path, str(source), base, options.rank)
    except AdapterRefused as error:
        _tell("error", reason=error.reason, message=error.message)
        return 1
    except ValueError as error:
        _tell("error", reason="SourceInvalid", message=str(error))
        return 2
    _tell("done", path=str(fetched.path), digest=fetched.digest, remark=remark)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m serving.adapters", description="Fetch and check a LoRA adapter.")
    parser.add_argument("source", help="oci:REGISTRY/REPOSITORY:TAG, hf:ORG/NAME[@REVISION] or file:/DIRECTORY")
    parser.add_argument("--model", type=Path, help="a model's directory, to compare the adapter with its config.json")
    parser.add_argument("--rank", type=int, default=DEFAULT_RANK, help="largest rank that is accepted")
    parser.add_argument("--cache-dir", type=Path, help="instead of $MODELYARD_CACHE/adapters")
    return parser


class _Progress:
    """Tells each step once, however many pieces it comes in."""

    def __init__(self) -> None:
        self._said = ""

    def __call__(self, progress: Progress) -> None:
        if progress.message != self._said:
            self._said = progress.message
            _tell("progress", message=progress.message)


def _tell(event: str, **fields: object) -> None:
    sys.stdout.write(json.dumps({"event": event, **fields}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
