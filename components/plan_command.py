"""`make plan`: the plan of a stack without Pulumi's engine, as text, Markdown or JSON."""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from components.before import before_of
from components.deployed_state import Deployed, from_resources
from components.fingerprints import PROJECT, code_version
from components.machine import this_machine
from components.planning.errors import SpecError, printable
from components.planning.markdown import render_markdown
from components.planning.plan import decide
from components.planning.preview import preview, refusals
from components.planning.report import Report
from components.planning.table import render_table
from components.stack_file import load_file, stack_file
from components.surroundings import read_surroundings


class _StateError(ValueError):
    """A state that cannot be read. str() is one sentence."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m components.plan_command", description=__doc__)
    parser.add_argument("--stack", default="dev")
    parser.add_argument("--format", choices=("text", "md", "json"), default="text")
    parser.add_argument("--state", type=Path, help="what pulumi stack export wrote, instead of asking Pulumi for it")
    arguments = parser.parse_args()
    try:
        report = _report(arguments.stack, Path.cwd(), _deployed(arguments.stack, arguments.state))
    except (SpecError, _StateError) as error:
        _say(str(error))
        return 1
    except KeyboardInterrupt:
        _say("stopped; nothing was changed")
        return _STOPPED
    sys.stdout.write(_FORMATS[arguments.format](report))
    return 0


_STOPPED = 128 + signal.SIGINT
"""What a shell reports of a command that Ctrl-C has ended."""

_FORMATS = {
    "text": lambda report: f"{render_table(report)}\n",
    "md": render_markdown,
    "json": lambda report: f"{json.dumps(report.as_json(), indent=2, ensure_ascii=False)}\n",
}


def _report(stack: str, folder: Path, deployed: Deployed) -> Report:
    raw = load_file(folder, stack)
    around = read_surroundings(raw, folder, _say)
    version = code_version(PROJECT)
    plan = decide(raw, this_machine(), stack_file=stack_file(stack), code_version=version, around=around)
    before = before_of(plan, deployed)
    if problems := refusals(plan, before):
        raise SpecError(problems, stack_file(stack))
    return preview(plan, before, stack=stack)


def _say(sentence: str) -> None:
    """`sentence` may have several lines; what of it comes from files must not steer the terminal."""
    sys.stderr.write("\n".join(map(printable, sentence.splitlines())) + "\n")


def _deployed(stack: str, state: Path | None) -> Deployed:
    """What the last update left; nothing, said on stderr, where no state can be read."""
    if state is not None:
        return _deployed_in(state)
    if shutil.which("pulumi") is None:
        _say("pulumi is not on PATH: compared with nothing deployed")
        return Deployed()
    command = ["pulumi", "stack", "export", "--stack", stack]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        reason = (answer.stderr.strip() or "pulumi gave no reason").splitlines()[-1]
        _say(f"no state of stack {stack} can be read ({reason}): compared with nothing deployed")
        return Deployed()
    try:
        return from_resources(_resources(answer.stdout))
    except _StateError as error:
        _say(f"no state of stack {stack} can be read ({error}): compared with nothing deployed")
        return Deployed()


def _deployed_in(state: Path) -> Deployed:
    way_out = "write it with: pulumi stack export --file state.json"
    try:
        return from_resources(_resources(state.read_text(encoding="utf-8-sig")))
    except OSError as error:
        raise _StateError(f"--state {state}: {error.strerror or error}; {way_out}") from None
    except ValueError as error:
        raise _StateError(f"--state {state}: {error}; {way_out}") from None


def _resources(exported: str) -> list[object]:
    """The resources of a state; none of a stack that was never updated. Raises _StateError."""
    try:
        state: object = json.loads(exported)
    except RecursionError:
        raise _StateError("it is nested too deeply") from None
    except ValueError as error:
        raise _StateError(f"it is not JSON ({error})") from None
    deployment = cast("Mapping[str, object]", state).get("deployment") if isinstance(state, Mapping) else None
    if not isinstance(deployment, Mapping):
        raise _StateError("it is no state of a stack: it has no deployment")
    resources = cast("Mapping[str, object]", deployment).get("resources")
    if resources is not None and not isinstance(resources, list):
        raise _StateError("it is no state of a stack: its resources are no list")
    return cast("list[object]", resources or [])


if __name__ == "__main__":
    sys.exit(main())
