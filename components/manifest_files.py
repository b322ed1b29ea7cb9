"""The files that an entry of modelyard:manifests names."""

from __future__ import annotations

from pathlib import Path

from components.planning.kaito.documents import ManifestFile
from components.text_files import UnreadableText, read_text

_GLOB = frozenset("*?[")


def manifest_files(pattern: str, *, folder: Path) -> tuple[ManifestFile, ...]:
    """The files that a name or a glob, relative to `folder`, means, sorted; a folder means its *.yaml and *.yml.

    Empty if there is none. What cannot be read, a folder too, is among them, with its error.
    """
    try:
        return tuple(_read(path, folder) for path in _paths(folder / pattern))
    except OSError as error:
        return (ManifestFile(path=pattern, text="", error=error.strerror or str(error)),)
    except (ValueError, NotImplementedError) as error:
        # A name that no file can have, or a glob that pathlib does not understand.
        return (ManifestFile(path=pattern, text="", error=str(error)),)


def _paths(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(each for each in path.iterdir() if each.suffix in (".yaml", ".yml") and each.is_file())
    if path.exists() or not _GLOB.intersection(str(path)):
        return [path] if path.exists() else []
    _require_readable(path)
    anchor = Path(path.anchor)
    return sorted(each for each in anchor.glob(str(path.relative_to(anchor))) if each.is_file())


def _require_readable(pattern: Path) -> None:
    """Raises OSError if the folder in front of the first wildcard cannot be listed: a glob finds nothing there."""
    fixed = Path(pattern.anchor)
    for part in pattern.parts[1:]:
        if _GLOB.intersection(part):
            break
        fixed /= part
    if fixed.is_dir():
        next(fixed.iterdir(), None)


def _read(path: Path, folder: Path) -> ManifestFile:
    shown = str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)
    try:
        return ManifestFile(path=shown, text=read_text(path))
    except UnreadableText as wrong:
        return ManifestFile(path=shown, text="", error=str(wrong))
