"""`make plan`: the plan of a stack without Pulumi's engine, as text, Markdown or JSON."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

from components.before import before_of
from components.deployed_state import Deployed, from_resources
from components.fingerprints import PROJECT, code_version
from components.machine import this_machine
from components.planning.errors import SpecError
from components.planning.markdown import render_markdown
from components.planning.plan import decide
from components.planning.preview import preview, refusals
from components.planning.report import Report
from components.planning.table import render_table
from components.stack_file import load_file, stack_file
from components.surroundings import read_surroundings


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m components.plan_command", description=__doc__)
    parser.add_argument("--stack", default="dev")
    parser.add_argument("--format", choices=("text", "md", "json"), default="text")
    parser.add_argument("--state", type=Path, help="what pulumi stack export wrote, instead of asking Pulumi for it")
    arguments = parser.parse_args()
    try:
        report = _report(arguments.stack, Path.cwd(), _deployed(arguments.stack, arguments.state))
    except SpecError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(_FORMATS[arguments.format](report))
    return 0


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
    sys.stderr.write(f"{sentence}\n")


def _deployed(stack: str, state: Path | None) -> Deployed:
    """What the last update left; nothing, said on stderr, where no state can be read."""
    if state is not None:
        return from_resources(json.loads(state.read_text(encoding="utf-8"))["deployment"].get("resources") or [])
    if shutil.which("pulumi") is None:
        _say("pulumi is not on PATH: compared with nothing deployed")
        return Deployed()
    command = ["pulumi", "stack", "export", "--stack", stack]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        reason = (answer.stderr.strip() or "pulumi gave no reason").splitlines()[-1]
        _say(f"no state of stack {stack} can be read ({reason}): compared with nothing deployed")
        return Deployed()
    return from_resources(json.loads(answer.stdout)["deployment"].get("resources") or [])


if __name__ == "__main__":
    sys.exit(main())
