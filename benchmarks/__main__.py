"""python -m benchmarks [NAME ...] [--runs N] [--quick] [--peers NAMES]; `make bench` does it with pulumi on PATH."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from benchmarks import (
    adapter_added,
    adapters_load,
    comparison,
    long_prompt,
    plan_vs_kaito,
    preview,
    serving_load,
    soak,
    startup,
)
from benchmarks.console import console
from benchmarks.environment import environment, serving_python
from benchmarks.errors import BenchmarkFailed
from benchmarks.peers import PEERS
from benchmarks.repeats import ONCE, Repeats
from benchmarks.report import RESULTS, Report

NAMES = ("serving", "adapters", "long_prompt", "adapter_added", "soak", "startup", "preview", "plan_vs_kaito")
LOADS = {"serving": serving_load.run, "adapters": adapters_load.run, "long_prompt": long_prompt.run}
"""Those that measure peers too."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for; returns the exit status: 1 if something could not be measured."""
    options = _parser().parse_args(arguments)
    status = 0
    for name in options.names or NAMES:
        try:
            if name != "plan_vs_kaito":
                _check_tools()
            report = _measure(name, options)
        except BenchmarkFailed as failure:
            console.say(f"{name} was not measured: {failure}")
            status = 1
        except KeyboardInterrupt:
            console.say("Interrupted; what was started has been ended")
            return 128 + signal.SIGINT
        else:
            print(f"\n{report.text()}\nwrote {report.write(options.results)}\n", flush=True)
    return status


def _measure(name: str, options: argparse.Namespace) -> Report:
    given: dict[str, Any] = {"runs": options.runs, "wait_seconds": options.wait}
    given = {field: value for field, value in given.items() if value is not None}
    here = environment()
    console.say(f"{name}: {here.text()}")
    if name == "plan_vs_kaito":
        return plan_vs_kaito.run(here)
    if name == "preview":
        return preview.run(preview.Options(runs=1 if options.quick else options.runs or 3), here)
    if name == "soak":
        default = soak.QUICK if options.quick else soak.Options()
        return soak.run(default if options.minutes is None else soak.Options(minutes=options.minutes), here)
    if load := LOADS.get(name):
        peers = {} if options.peers is None else {"peers": options.peers}
        return load(replace(comparison.QUICK if options.quick else comparison.Options(), **given, **peers), here)
    repeats = replace(ONCE if options.quick else Repeats(), **given)
    return adapter_added.run(repeats, here) if name == "adapter_added" else startup.run(repeats, here)


def _check_tools() -> None:
    if not serving_python().exists():
        raise BenchmarkFailed(f"{serving_python()} is not there; run make install")
    if shutil.which("pulumi") is None:
        raise BenchmarkFailed("pulumi is not on PATH; run make bench, which puts it there")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure a Modelyard of its own.")
    # No choices=: argparse would hold the empty list against them.
    parser.add_argument("names", nargs="*", type=_name, metavar="|".join(NAMES), help="what to measure; all if none")
    parser.add_argument("--runs", type=_positive, help="runs of everything (default: 3)")
    parser.add_argument("--quick", action="store_true", help="one short run: whether it works, not how fast it is")
    parser.add_argument("--minutes", type=_positive, help="how long to soak (default: 10)")
    parser.add_argument("--wait", type=float, help="seconds to wait for other processes to be quiet (default: 120)")
    known = ",".join(PEERS)
    parser.add_argument("--peers", type=_peers, help=f"what to measure beside it, or none (default: {known})")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the JSON files")
    return parser


def _name(text: str) -> str:
    if text not in NAMES:
        raise argparse.ArgumentTypeError(f"{text!r} is no benchmark; there are {', '.join(NAMES)}")
    return text


def _peers(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(","))) if text != "none" else ()
    if unknown := [name for name in names if name not in PEERS]:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is no peer; there are {', '.join(PEERS)}, or none")
    return names


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 up")
    return int(text)


def _terminate(_signal: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(128 + signal.SIGTERM)  # as an exception, so that what was started ends


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(main())
