"""What a config refers to outside of itself: manifests, a price file, models that the catalogue has not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from components.manifest_files import manifest_files
from components.model_facts import MODELS_CACHE, described
from components.planning.kaito.names import preset_names
from components.planning.place import shown
from components.planning.spec import RawConfig, Surroundings
from components.planning.yaml_text import YamlError, read_yaml
from components.text_files import UnreadableText, read_text
from presets.catalog import Models


def read_surroundings(raw: RawConfig, folder: Path, say: Callable[[str], None]) -> Surroundings:
    """Read what `raw` names, relative to `folder`. Never raises for what cannot be read: parsing reports it.

    say: takes a sentence before anything that may take longer.
    """
    manifests = {pattern: manifest_files(pattern, folder=folder) for pattern in _texts(raw.manifests)}
    prices, price_error = _price_file(raw.prices, folder)
    files = {file.path: file for found in manifests.values() for file in found}
    names = {*_names_in(raw.workspaces), *preset_names(tuple(files.values()))}
    presets, failures = described(names, folder=folder / MODELS_CACHE, report=say)
    return Surroundings(
        manifests=manifests,
        price_file=prices,
        price_file_error=price_error,
        models=Models(presets, failures),
    )


def _texts(value: object) -> list[str]:
    items = cast("list[object]", value) if isinstance(value, list) else []
    return [item for item in items if isinstance(item, str)]


def _price_file(prices: object, folder: Path) -> tuple[object, str]:
    """Its content, or why there is none."""
    name = cast("Mapping[str, Any]", prices).get("file") if isinstance(prices, Mapping) else None
    if not isinstance(name, str):
        return None, ""
    if not name.strip():
        return None, "an empty text names no file"
    try:
        content = read_yaml(read_text(folder / name))
    except UnreadableText as wrong:
        return None, str(wrong)
    except YamlError as wrong:
        return None, f"{'' if wrong.line is None else f'line {wrong.line}: '}{wrong}; {wrong.do}"
    if content is None:
        return None, "it is empty; it needs currency, and sizes with their prices"
    if not isinstance(content, Mapping):
        return None, f"{shown(content)} instead of currency, and sizes with their prices"
    return content, ""


def _names_in(workspaces: object) -> Iterator[str]:
    """Names of presets, wherever a config that may be wrong has them."""
    for workspace in cast("list[object]", workspaces) if isinstance(workspaces, list) else []:
        for part in ("inference", "tuning"):
            value: object = workspace
            for key in (part, "preset", "name"):
                value = cast("Mapping[str, object]", value).get(key) if isinstance(value, Mapping) else None
            if isinstance(value, str):
                yield value
