"""The environment of every `pulumi` command: whose state, whose passphrase, which programs.

What a person has set is used as it is; only what is missing is filled in.
"""

import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from toolchain.errors import ToolchainError
from toolchain.layout import Layout
from toolchain.pulumi_cli import PulumiCli

FOREIGN_PYTHON = ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "__PYVENV_LAUNCHER__", "PYTHONDONTWRITEBYTECODE")
"""Left by another activated environment; they would make our interpreters load that environment's packages, or compile
torch's and Ray's 16,000 files anew in every process."""

QUIET = {
    "PULUMI_SKIP_UPDATE_CHECK": "true",
    # The engine would download a plugin for every pulumi-* package that is installed, before it knows which one a stack
    # uses. The local target uses none; set this to false where a stack's providers are to be fetched.
    "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
    # A stack file that has lost its encryptionsalt takes it from the state instead of inventing another one.
    "PULUMI_FALLBACK_TO_STATE_SECRETS_MANAGER": "true",
}


def embedded(layout: Layout) -> str:
    """The URL of the checkout's own file backend."""
    return layout.state.as_uri()


def folder_of(backend: str) -> Path | None:
    """The folder of a file backend, or None for a backend elsewhere.

    >>> folder_of("file:///srv/some%20state"), folder_of("s3://bucket")
    (PosixPath('/srv/some state'), None)
    """
    parts = urlsplit(backend)
    if parts.scheme != "file":
        return None
    return Path(os.path.expanduser(unquote(parts.netloc + parts.path)))


def tools(layout: Layout, environ: Mapping[str, str], cli: PulumiCli, plugins: Sequence[Path] = ()) -> dict[str, str]:
    """What finds our programs and keeps Pulumi quiet, without any state: for tests that bring their own.

    `plugins` are folders of providers; where one is on PATH already it stays in its place.
    """
    on_path = environ.get("PATH", "").split(os.pathsep)
    ours = [str(folder) for folder in (cli.folder, layout.venv / "bin")]
    if str(cli.folder) in on_path and not cli.cached:
        ours.remove(str(cli.folder))  # it is found where it is; moving its folder forward would move its neighbours too
    ours += [str(folder) for folder in plugins if str(folder) not in on_path]
    path = os.pathsep.join([*ours, *(part for part in on_path if part not in ours)])
    return {"PATH": path, **{name: environ.get(name, value) for name, value in QUIET.items()}}


def state(layout: Layout, environ: Mapping[str, str]) -> dict[str, str]:
    """Backend, passphrase and home; makes the embedded backend's folder and passphrase where they are needed.

    Raises ToolchainError if the embedded backend holds stacks but their generated passphrase is gone.
    """
    found: dict[str, str] = {}
    own_backend = "PULUMI_BACKEND_URL" in environ or "PULUMI_ACCESS_TOKEN" in environ
    if not own_backend:
        layout.state.mkdir(parents=True, exist_ok=True)
        found["PULUMI_BACKEND_URL"] = embedded(layout)
        # Logins and selected stacks of other projects stay apart; somebody with a backend of their own needs theirs.
        found["PULUMI_HOME"] = environ.get("PULUMI_HOME") or str(layout.pulumi_home)
    backend = environ.get("PULUMI_BACKEND_URL", found.get("PULUMI_BACKEND_URL", ""))
    own_passphrase = "PULUMI_CONFIG_PASSPHRASE" in environ or bool(environ.get("PULUMI_CONFIG_PASSPHRASE_FILE"))
    # A passphrase that only this checkout knows would lock everybody else out of a backend that is shared.
    if not own_passphrase and folder_of(backend) is not None:
        found["PULUMI_CONFIG_PASSPHRASE_FILE"] = str(_passphrase(layout))
    return found


def complete(environ: Mapping[str, str], additions: Mapping[str, str]) -> dict[str, str]:
    """A whole environment for a command of ours."""
    return {**{name: value for name, value in environ.items() if name not in FOREIGN_PYTHON}, **additions}


def _passphrase(layout: Layout) -> Path:
    path = layout.passphrase
    if path.exists():
        return path
    stacks = sorted(layout.state.glob(".pulumi/stacks/*/*.json"))
    if stacks:
        raise ToolchainError(
            f"{path} is gone, but {layout.state} holds stacks that were encrypted with a passphrase "
            f"({', '.join(stack.stem for stack in stacks)})",
            "put the file back, or set PULUMI_CONFIG_PASSPHRASE if they were made with a passphrase of your own; "
            f"to give them up, with whatever they still run, remove {layout.state}",
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    # Written whole before it gets its name: a killed run must not leave an empty passphrase behind.
    part = path.with_name(f"{path.name}.part-{os.getpid()}")
    part.unlink(missing_ok=True)
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(f"{secrets.token_urlsafe(32)}\n")
    try:
        os.link(part, path)
    except FileExistsError:
        pass  # another run was first, and its passphrase is the one
    finally:
        part.unlink()
    return path
