"""The bootstrap's command line; the Makefile calls it, people call make."""

import argparse
import os
import shlex
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType

from toolchain import (
    cluster_programs,
    environment,
    kernels,
    kubernetes_provider,
    locks,
    program_sets,
    pulumi_cli,
    stack_file,
    stacks,
    stages,
    virtualenvs,
)
from toolchain.console import Console
from toolchain.errors import ToolchainError
from toolchain.layout import Layout

PROGRAMS = (program_sets.PULUMI, program_sets.KUBERNETES, program_sets.CLUSTER)


def main(arguments: Sequence[str]) -> int:
    """Run one command; returns its exit status."""
    options = _parser().parse_args(arguments)
    console = Console()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    try:
        return _COMMANDS[options.command](options, Layout.of(os.environ), console)
    except ToolchainError as error:
        console.say(f"error: {error}\n  do: {error.way_out}")
        return 1
    except KeyboardInterrupt:
        console.say("Interrupted")
        return 130


def setup(options: argparse.Namespace, layout: Layout, console: Console) -> int:
    """Sets of programs and locked sets of packages, as named."""
    ours = environment.complete(os.environ, {})
    if options.stack and stack_file.target(layout.root, options.stack) == program_sets.KUBERNETES.name:
        # The models run elsewhere: what they need is in their image, and Pulumi needs the cluster's provider.
        options.parts = [*(set(options.parts) - {locks.SERVING.name}), program_sets.KUBERNETES.name]
    if program_sets.PULUMI.name in options.parts:
        console.say(f"Pulumi {pulumi_cli.provide(layout, ours, console).origin}")
    if program_sets.KUBERNETES.name in options.parts:
        console.say(f"Pulumi's Kubernetes provider {kubernetes_provider.provide(layout, ours, console).origin}")
    if program_sets.CLUSTER.name in options.parts:
        console.say(f"Programs of a test cluster: {cluster_programs.provide(layout, ours, console).origin}")
    for each in locks.SETS:
        if each.name in options.parts:
            virtualenvs.install(layout, each, ours, console)
    if not {locks.SERVING.name, locks.SERVING_TEST.name}.isdisjoint(options.parts):
        kernels.install(layout, ours, console)
    return 0


def show(_options: argparse.Namespace, layout: Layout, console: Console) -> int:
    """The lines that `eval "$(make env)"` reads."""
    for name, value in _additions(layout, console).items():
        sys.stdout.write(f"export {name}={shlex.quote(value)}\n")
    return 0


def execute(options: argparse.Namespace, layout: Layout, console: Console) -> int:
    """Become another program, in our environment."""
    additions = _additions(layout, console, with_state=not options.no_state)
    stacks.become(options.argv, environment.complete(os.environ, additions), Path.cwd())
    return 0


def on_stack(options: argparse.Namespace, layout: Layout, console: Console) -> int:
    """Become `pulumi`, on one stack."""
    command, *rest = options.argv
    env = environment.complete(os.environ, _additions(layout, console))
    if stacks.prepare(layout, options.stack, command, os.environ, env, console):
        stacks.become(["pulumi", command, "--stack", options.stack, *rest], env, layout.root)
    return 0


def lock(options: argparse.Namespace, layout: Layout, console: Console) -> int:
    """Write the locks."""
    ours = environment.complete(os.environ, {})
    uv = virtualenvs.uv(layout, ours, console)
    locks.write(layout.root, uv, virtualenvs.uv_environment(ours), console, upgrade=options.upgrade)
    return 0


def run_stages(options: argparse.Namespace, layout: Layout, console: Console) -> int:
    """Run make targets with a summary."""
    return stages.run_all(options.targets, layout.root, console)


def clean(_options: argparse.Namespace, layout: Layout, console: Console) -> int:
    """Remove what can be made again; state and passphrase stay, since something may be running."""
    folders = [layout.venv, layout.venv_serving]
    folders += [layout.root / name for name in (".pytest_cache", ".ruff_cache", ".hypothesis", ".import_linter_cache")]
    ours = [path for path in layout.root.iterdir() if path.is_dir() and not path.name.startswith(".")]
    folders += [found for path in ours for found in path.rglob("__pycache__")]
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
    console.say(f"Removed both environments and the tools' caches; {layout.private.name}, with the state, stays")
    return 0


_COMMANDS = {
    "setup": setup,
    "env": show,
    "exec": execute,
    "stack": on_stack,
    "lock": lock,
    "stages": run_stages,
    "clean": clean,
}


def _additions(layout: Layout, console: Console, *, with_state: bool = True) -> dict[str, str]:
    ours: Mapping[str, str] = environment.complete(os.environ, {})
    cli = pulumi_cli.provide(layout, ours, console)
    kubernetes = kubernetes_provider.find(layout, ours)
    additions = environment.tools(layout, ours, cli, [kubernetes.folder] if kubernetes else [])
    return {**additions, **environment.state(layout, ours)} if with_state else additions


def _stop(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python3 -m toolchain", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    parts = [*(each.name for each in PROGRAMS), *(each.name for each in locks.SETS)]
    setting_up = commands.add_parser("setup", help="get Pulumi and what goes with it, install locked sets")
    setting_up.add_argument("parts", nargs="+", choices=parts, metavar="PART", help=", ".join(parts))
    setting_up.add_argument("--stack", help="get what this stack's target needs, and not what it does without")
    commands.add_parser("env", help="print the shell lines that make plain `pulumi` work")
    exec_ = commands.add_parser("exec", help="run a program in that environment")
    exec_.add_argument("--no-state", action="store_true", help="programs only: no backend, no passphrase")
    exec_.add_argument("argv", nargs="+", metavar="COMMAND")
    stack = commands.add_parser("stack", help="run a pulumi command on a stack, which is made if need be")
    stack.add_argument("stack")
    stack.add_argument("argv", nargs="+", metavar="COMMAND")
    locking = commands.add_parser("lock", help="write the locks from pyproject.toml")
    locking.add_argument("--upgrade", action="store_true", help="to the newest versions that fit")
    targets = commands.add_parser("stages", help="run make targets one after another, with a summary")
    targets.add_argument("targets", nargs="+")
    commands.add_parser("clean", help="remove environments and caches")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
