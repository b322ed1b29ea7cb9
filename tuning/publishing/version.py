"""Directories with an adapter, which are there whole or not at all, and for everybody to read."""

from __future__ import annotations

import errno
import filecmp
import os
import shutil
from pathlib import Path

from tuning.errors import TuningError
from tuning.training.failures import no_space
from tuning.training.trained import ADAPTER_FILES

DIGITS = 12
"""Of an adapter's digest, in the name of its version."""


def version_of(adapter_digest: str) -> str:
    """
    >>> version_of("sha256:0123456789abcdef")
    '0123456789ab'
    """
    return adapter_digest.removeprefix("sha256:")[:DIGITS]


def keep(files: dict[str, Path | str], to: Path) -> None:
    """Make the directory `to` of files, or of their text, by name. Where it is there, it may be served: each file is
    replaced at once."""
    making = to.with_name(f".{to.name}.partial")
    try:
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir(parents=True)
        for name, content in files.items():
            target = making / name
            if isinstance(content, Path):
                shutil.copyfile(content, target)
            else:
                target.write_text(content, encoding="utf-8")
            target.chmod(0o644)
        making.chmod(0o755)
        if not to.exists():
            os.replace(making, to)
            return
        for name in files:
            os.replace(making / name, to / name)
        making.rmdir()
    except OSError as error:
        shutil.rmtree(making, ignore_errors=True)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise no_space(to) from error
        raise


def copy_to_volume(version: Path, to: Path, overwrite: bool) -> None:
    """Put a version's files into a directory that others share. Raises TuningError (OutputExists, OutputNotWritable).

    File by file, the weights last: it may be a volume's root, which cannot be renamed.
    """
    try:
        to.mkdir(parents=True, exist_ok=True)
        weights = to / ADAPTER_FILES[1]
        same = weights.exists() and filecmp.cmp(weights, version / ADAPTER_FILES[1], shallow=False)
        if weights.exists() and not same and not overwrite:
            raise TuningError(
                "OutputExists",
                f"{to} has another adapter already: remove it, name another directory, or write "
                "tuning.output.overwrite: true",
            )
        for file in sorted(version.iterdir(), key=lambda each: each.name == ADAPTER_FILES[1]):
            partial = to / f".{file.name}.partial"
            shutil.copyfile(file, partial)
            partial.chmod(0o644)
            partial.replace(to / file.name)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise no_space(to) from error
        raise TuningError(
            "OutputNotWritable", f"{to} cannot be written ({error.strerror}): change its owner or its mode"
        ) from error
