"""Runs one `pulumi` command on one stack: clears the way, makes and selects the stack, then becomes pulumi."""

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from toolchain import environment, recovery, stack_file
from toolchain.commands import run
from toolchain.console import Console
from toolchain.errors import ToolchainError
from toolchain.layout import Layout

LOCKING = frozenset({"up", "update", "destroy", "down", "refresh", "import"})
"""Commands that lock the stack; the others must work while an update runs."""

CREATING = frozenset({"up", "update", "preview", "refresh", "import"})
"""Commands that make sense on a stack that is only a file so far."""


def prepare(
    layout: Layout, stack: str, command: str, environ: Mapping[str, str], env: Mapping[str, str], console: Console
) -> bool:
    """Make `command` possible on `stack`; False if there is nothing for it to do.

    `environ` is the person's own environment, `env` the one that the command will have.
    """
    backend = environment.folder_of(env.get("PULUMI_BACKEND_URL", ""))
    ours = env.get("PULUMI_BACKEND_URL") == environment.embedded(layout)
    exists = backend is None or stack_file.checkpoint(backend, stack_file.project(layout.root), stack) is not None
    if command not in CREATING and not exists:
        console.say(f"Stack {stack} does not exist: nothing to {command}")
        return False
    if backend is not None and stack_file.drop_foreign_salt(layout.root, backend, stack):
        console.say(f"Removed from Pulumi.{stack}.yaml an encryptionsalt that belongs to another state")
    if ours and layout.passphrase.exists() and _own_passphrase(environ):
        console.say(
            "Using your own passphrase; if Pulumi calls it incorrect, the stack was made with the generated one: "
            "unset PULUMI_CONFIG_PASSPHRASE and PULUMI_CONFIG_PASSPHRASE_FILE"
        )
    if ours and command in LOCKING:
        recovery.recover(layout.root, layout.state, stack, env, console)
    _select(layout.root, stack, env, create=command in CREATING)
    stack_file.hide_salt_from_git(layout.root, env)
    if ours and command in LOCKING & CREATING:
        recovery.forget_pending_creations(layout.root, layout.state, stack, env, console)
    return True


def become(argv: Sequence[str], env: Mapping[str, str], cwd: Path) -> None:
    """Replace this process, so that signals and the exit status are the program's own."""
    program = shutil.which(argv[0], path=env.get("PATH", ""))
    if program is None:
        raise ToolchainError(f"{argv[0]} is not to be found", "run `make up` first, or `make install`")
    os.chdir(cwd)
    os.execve(program, list(argv), dict(env))


def _select(root: Path, stack: str, env: Mapping[str, str], *, create: bool) -> None:
    options = ["--create"] if create else []
    run(
        ["pulumi", "stack", "select", *options, "--stack", stack],
        env=env,
        cwd=root,
        way_out=f"check the backend, `{env.get('PULUMI_BACKEND_URL', 'the one you are logged in to')}`, and try again",
    )


def _own_passphrase(environ: Mapping[str, str]) -> bool:
    return "PULUMI_CONFIG_PASSPHRASE" in environ or bool(environ.get("PULUMI_CONFIG_PASSPHRASE_FILE"))
