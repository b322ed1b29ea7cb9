"""What `python -m presets.add` does: drafts a catalogue entry for review."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from presets.catalog import MODELS, Preset, catalog
from presets.drafting.draft import Draft, DraftError
from presets.drafting.entry_yaml import entry
from presets.drafting.hub_files import from_hub
from presets.drafting.repository_files import Facts, FactsError, directory_of, from_directory, repository_of

_HEADER = """\
# shape, max_context: config.json of each repository, at the commit that the entry names.
# parameters, weights_gib: headers and bytes of the safetensors there.
"""
"""Of a file that is new."""


def facts_of(model: str) -> Facts:
    """The facts of a repository or a directory, as a person names it; raises FactsError."""
    directory = directory_of(model)
    return from_hub(*repository_of(model)) if directory is None else from_directory(directory)


def drafted_entry(name: str, draft: Draft) -> str:
    """The draft as an entry, with its source and its notes as comments."""
    repository = draft.preset.repository
    where = f"{repository.name} @{repository.revision}" if not draft.preset.weights else draft.preset.weights
    source = f"Drafted by python -m presets.add from config.json and safetensors headers of {where}."
    return entry(name, draft.preset, [source, *draft.notes])


def family_of(name: str, files: Iterable[str]) -> str:
    """Which of `files` in presets/models an entry belongs to, or what a new one is to be called; without .yaml.

    >>> files = ["nemotron", "qwen2.5", "qwen3"]
    >>> [family_of(name, files) for name in ("qwen3.5-4b", "nvidia-nemotron-nano-9b-v2", "mixtral-8x7b")]
    ['qwen3', 'nemotron', 'mixtral']
    """
    known = sorted(files, key=len, reverse=True)
    likely = [file for file in known if name.startswith(file)] + [file for file in known if file in name]
    found = re.match(r"[a-z]+", name)
    return likely[0] if likely else found[0] if found else "other"


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        draft = facts_of(options.model).draft()
        name = options.name or draft.name
        _refuse_taken(name, draft.preset)
        text = drafted_entry(name, draft)
        file = _file(options, name)
    except (DraftError, FactsError) as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 1
    print(text, end="")  # noqa: T201
    if file is not None:
        _append(file, text)
    for note in (*draft.notes, *_steps(name, file)):
        print(f"- {note}", file=sys.stderr)  # noqa: T201
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m presets.add", description="Draft an entry of presets/models.")
    parser.add_argument("model", help="ORG/MODEL or ORG/MODEL@REVISION of the hub, or a directory with config.json")
    parser.add_argument("--name", help="name of the entry; default: the repository's, in lower case")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--write", metavar="FILE", help="append the entry to presets/models/FILE")
    where.add_argument("--family", action="store_true", help="append it to the file of its family in presets/models")
    return parser


def _file(options: argparse.Namespace, name: str) -> Path | None:
    if options.family:
        return MODELS / f"{family_of(name, (file.stem for file in MODELS.glob('*.yaml')))}.yaml"
    if options.write is None:
        return None
    stem = str(options.write).removesuffix(".yaml")
    if not re.fullmatch(r"[\w.-]+", stem):
        raise FactsError(f"--write {options.write} is not the name of a file; write one such as qwen3.yaml")
    return MODELS / f"{stem}.yaml"


def _refuse_taken(name: str, preset: Preset) -> None:
    known = catalog()
    if name in known:
        raise FactsError(f"the catalogue has {name} already; choose another name with --name, or edit that entry")
    for other, its in known.items():
        if its.repository.name.lower() == preset.repository.name.lower():
            raise FactsError(f"the catalogue has {preset.repository.name} already, as {other}; edit that entry")


def _append(file: Path, text: str) -> None:
    before = file.read_text(encoding="utf-8") if file.exists() else _HEADER
    file.write_text(before.rstrip("\n") + "\n\n" + text, encoding="utf-8")


def _steps(name: str, file: Path | None) -> list[str]:
    """What is left to a person."""
    if file is None:
        return ["Nothing was written: add --family, or --write FILE, to put the entry into presets/models."]
    return [
        f"Written to presets/models/{file.name}: check the licence, the parsers and lora_targets against the model "
        "card, and remove the comments that you have dealt with.",
        f"Run pytest tests/presets, then plan a workspace with preset.name {name}.",
    ]
