"""python -m serving.adapters [SOURCE] [--model DIRECTORY] [--rank N] [--cache-dir DIRECTORY]

Fetches an adapter and checks it as a replica does before its engine sees it: with --model against that model's config.
JSON lines on standard output: `progress`, then `done` or `error`. Exit status: 0 done, 1 refused, 2 no source.

Without SOURCE any number of adapters, which standard input names: JSON lines with `source` and `rank`. Each ends with
its `done`, in their order; the first `error` is the end of all.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel as Schema
from pydantic import ConfigDict

from presets.adapter_source import parse_adapter_source
from presets.serve_config import DEFAULT_RANK
from serving.adapters.check import BaseModel, check
from serving.adapters.fetch import default_directory, fetch
from serving.engines.protocol import AdapterRefused
from serving.weights.model import Progress


class _Asked(Schema):
    model_config = ConfigDict(extra="forbid")

    source: str
    rank: int = DEFAULT_RANK


def main(arguments: list[str] | None = None) -> int:
    parser = _parser()
    options = parser.parse_args(arguments)
    if not options.source and sys.stdin.isatty():
        parser.error("name a SOURCE, or give a list of them on standard input")
    base = BaseModel.of(options.model, [options.model.name]) if options.model else BaseModel(names=())
    cache = options.cache_dir or default_directory()
    asked = iter([_Asked(source=options.source, rank=options.rank)]) if options.source else _listed()
    try:
        for each in asked:
            source = parse_adapter_source(each.source)
            fetched = fetch(source, cache, _Progress())
            remark = check(fetched.path, str(source), base, each.rank)
            _tell("done", path=str(fetched.path), digest=fetched.digest, remark=remark)
    except AdapterRefused as error:
        _tell("error", reason=error.reason, message=error.message)
        return 1
    except ValueError as error:
        _tell("error", reason="SourceInvalid", message=str(error))
        return 2
    return 0


def _listed() -> Iterator[_Asked]:
    """What standard input names. Raises ValueError."""
    for line in sys.stdin:
        yield _Asked.model_validate_json(line)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m serving.adapters", description="Fetch and check LoRA adapters.")
    parser.add_argument(
        "source",
        nargs="?",
        help="oci:REGISTRY/REPOSITORY:TAG, hf:ORG/NAME[@REVISION] or file:/DIRECTORY; left out: those that standard "
        "input names, as JSON lines with source and rank",
    )
    parser.add_argument("--model", type=Path, help="a model's directory, to compare the adapters with its config.json")
    parser.add_argument("--rank", type=int, default=DEFAULT_RANK, help="largest rank of SOURCE that is accepted")
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
