"""Facts of models that a stack names and the catalogue has not: the one side effect that parsing a config has.

A repository of the hub is looked up once: what was found is kept in the checkout at the commit that it had, so that the
next preview says the same and needs no network. A directory is read again each time.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from presets.catalog import Preset, UnknownPreset, preset_name
from presets.drafting.draft import DraftError
from presets.drafting.entry_yaml import entry, read
from presets.drafting.hub_files import from_hub, from_hub_cache
from presets.drafting.repository_files import FactsError, directory_of, from_directory, repository_of

MODELS_CACHE = Path(".modelyard") / "models"
"""Where facts are kept, from the folder of the stack's file."""


def described(
    names: Iterable[str], *, folder: Path, report: Callable[[str], None] = lambda _: None
) -> tuple[dict[str, Preset], dict[str, str]]:
    """Presets by the name as the stack writes it, and one sentence for each model that cannot be described.

    Only for names that are a repository or a path, and that the catalogue has not. `folder`: where what was found is
    kept. `report` gets a line before the hub is asked, which may take some seconds.
    """
    presets: dict[str, Preset] = {}
    failures: dict[str, str] = {}
    for name in sorted(set(names)):
        if not _is_beyond_the_catalogue(name):
            continue
        try:
            presets[name] = _preset(name, folder, report)
        except (DraftError, FactsError) as error:
            failures[name] = str(error)
        except OSError as error:
            reason = error.strerror or str(error)
            failures[name] = f"{name} cannot be kept in {folder} ({reason}); let this user write there"
    return presets, failures


def kept_in(folder: Path, repository: str, revision: str) -> Path:
    """The file with the facts of a repository that was looked up.

    >>> str(kept_in(Path("models"), "org/model", "main"))
    'models/org--model@main.yaml'
    """
    safe = re.sub(r"[^\w.-]", "--", revision, flags=re.ASCII)
    return folder / f"{repository.replace('/', '--')}@{safe}.yaml"


def _is_beyond_the_catalogue(name: str) -> bool:
    if directory_of(name) is not None:
        return True
    if "/" not in name:
        return False
    try:
        preset_name(name)
    except UnknownPreset:
        return True
    return False


def _preset(name: str, folder: Path, report: Callable[[str], None]) -> Preset:
    directory = directory_of(name)
    if directory is not None:
        return from_directory(directory).draft().preset
    repository, revision = repository_of(name)
    file = kept_in(folder, repository, revision)
    if (kept := _kept(file, repository)) is not None:
        return kept
    facts = from_hub_cache(repository, revision)
    if facts is None:
        report(f"looking up {name} on the hub")
        facts = from_hub(repository, revision)
    draft = facts.draft()
    notes = (f"Looked up for preset.name {name}; remove this file to look it up again.", *draft.notes)
    _keep(file, entry(repository, draft.preset, notes))
    return draft.preset


def _kept(file: Path, repository: str) -> Preset | None:
    """None if there is no such file that can be read, or one of another version that does not read any more."""
    try:
        return read(file.read_text(encoding="utf-8")).get(repository)
    except (OSError, ValueError):
        return None


def _keep(file: Path, text: str) -> None:
    """Whole or not at all: two programs may look the same model up at the same time."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=file.parent, suffix=".tmp", delete=False, encoding="utf-8") as making:
        making.write(text)
    os.replace(making.name, file)
