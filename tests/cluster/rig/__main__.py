"""The rig's command line.

python -m tests.cluster.rig up --state DIR      start it; it stays until `down`
python -m tests.cluster.rig down --state DIR    stop it, or clear what a killed one left
python -m tests.cluster.rig ps --state DIR      its programs and their memory
python -m tests.cluster.rig exec --state DIR -- COMMAND...   in its network, as its admin
python -m tests.cluster.rig kubeconfig --state DIR [--user NAME --group GROUP...]
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from tests.cluster.rig.processes import resident_mib
from tests.cluster.rig.programs import CHECKOUT, Played
from tests.cluster.rig.requirements import CannotRun
from tests.cluster.rig.rig import DEFAULT_PORT, CannotStart, Rig
from toolchain import cluster_programs
from toolchain.layout import Layout


def main(words: Sequence[str]) -> int:
    """Run one command; returns its exit status."""
    cut = words.index("--") if "--" in words else len(words)
    options, command = _parser().parse_args(words[:cut]), list(words[cut + 1 :])
    try:
        if options.action == "up":
            return _up(options)
        rig = Rig.load(options.state.absolute())
    except (CannotRun, CannotStart, ValueError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    except FileNotFoundError:
        sys.stderr.write(f"error: there is no rig in {options.state}\n")
        return 1
    if options.action == "down":
        rig.down()
    elif options.action == "ps":
        _ps(rig)
    elif options.action == "kubeconfig":
        path = rig.kubeconfig(options.user, options.group) if options.user else rig.admin
        sys.stdout.write(f"{path}\n")
    else:
        os.environ["KUBECONFIG"] = str(rig.state / "kubeconfig-inside")
        argv = rig.inside(command)
        os.execvp(argv[0], argv)
    return 0


def _up(options: argparse.Namespace) -> int:
    played = Played(**{field.name: getattr(options, field.name) for field in fields(Played)})
    bin_folder, crds = options.bin, options.crds
    if bin_folder is None or crds is None:
        programs = cluster_programs.find(Layout.of(os.environ))
        if programs is None:
            raise CannotRun("The programs of a cluster are not in the cache; `make test-cluster` gets them.")
        bin_folder, crds = bin_folder or programs.bin, crds or programs.crds
    rig = Rig(
        options.state,
        bin=bin_folder,
        crds=crds,
        port=options.port,
        played=played,
        say=_say,
    )
    rig.up()
    return 0


def _ps(rig: Rig) -> None:
    for name, pid in rig.processes.pids.items():
        runs = rig.processes.runs(name)
        sys.stdout.write(f"{name:26}{pid:8}{resident_mib(pid):8.0f} MiB{'' if runs else '  ENDED'}\n")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.cluster.rig", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("action", choices=("up", "down", "ps", "exec", "kubeconfig"))
    parser.add_argument("--state", type=Path, default=CHECKOUT / ".modelyard" / "rig")
    up = parser.add_argument_group("up")
    up.add_argument("--port", type=int, default=DEFAULT_PORT, help="of the API server, on localhost")
    up.add_argument("--bin", type=Path, help="folder of the programs; by default the bootstrap's")
    up.add_argument("--crds", type=Path, help="folder of the CRDs; by default the bootstrap's")
    up.add_argument("--venv", type=Path, default=Played.venv, help="first on the PATH of every container")
    up.add_argument("--max-grace", type=float, default=Played.max_grace, help="seconds a pod may take to end")
    up.add_argument("--back-off", type=float, default=Played.back_off, help="seconds before a second restart")
    up.add_argument("--pull-seconds", type=float, default=Played.pull_seconds, help="how long an image is pulled")
    other = parser.add_argument_group("kubeconfig")
    other.add_argument("--user", help="somebody else than the admin")
    other.add_argument("--group", action="append", default=[], help="a group of theirs; may be repeated")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
