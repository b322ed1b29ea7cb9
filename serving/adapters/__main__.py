"""python -m serving.adapters SOURCE [--model DIRECTORY] [--rank N] [--cache-dir DIRECTORY]

Fetches an adapter and checks it as a replica does before its engine sees it: with --model against that model's config.
One JSON object on standard output. Exit status: 0 done, 1 refused, 2 the source is not one.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from presets.adapter_source import parse_adapter_source
from presets.lora import DEFAULT_RANK
from serving.adapters.check import BaseModel, check
from serving.adapters.fetch import default_directory, fetch
from serving.engines.protocol import AdapterRefused


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    base = BaseModel.of(options.model, [options.model.name]) if options.model else BaseModel(names=())
    try:
        source = parse_adapter_source(options.source)
        fetched = fetch(source, options.cache_dir or default_directory(), lambda _: None)
        remark = check(fetched.path, str(source), base, options.rank)
    except AdapterRefused as error:
        return _tell(1, reason=error.reason, message=error.message)
    except ValueError as error:
        return _tell(2, reason="SourceInvalid", message=str(error))
    return _tell(0, path=str(fetched.path), digest=fetched.digest, remark=remark)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m serving.adapters", description="Fetch and check a LoRA adapter.")
    parser.add_argument("source", help="oci:REGISTRY/REPOSITORY:TAG, hf:ORG/NAME[@REVISION] or file:/DIRECTORY")
    parser.add_argument("--model", type=Path, help="a model's directory, to compare the adapter with its config.json")
    parser.add_argument("--rank", type=int, default=DEFAULT_RANK, help="largest rank that is accepted")
    parser.add_argument("--cache-dir", type=Path, help="instead of $MODELYARD_CACHE/adapters")
    return parser


def _tell(status: int, **fields: object) -> int:
    sys.stdout.write(json.dumps({"event": "error" if status else "done", **fields}) + "\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
