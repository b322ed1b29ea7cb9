"""Which files a data set has for a split, as the `datasets` library lays them out in a directory."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import datasets
import yaml

from tuning.data.errors import DataError
from tuning.data.files import DataFile, data_below

CARD = "README.md"
FORM = "hf:ORG/NAME[@REVISION][#SPLIT] or file:/PATH[#SPLIT], with #CONFIGURATION/SPLIT where there are several"
_DEFAULT_SPLIT = "train"


def local(root: Path, split: str, source: str) -> list[DataFile]:
    if not root.exists():
        raise DataError(
            "DataNotFound", f"{source}: there is no {root} on the machine where the job runs: correct the path"
        )
    if root.is_file():
        if split:
            raise DataError("DataNotFound", f"{source} is one file, which has no splits: leave #{split} out")
        return [DataFile(path=root, name=str(root))]
    if (root / "dataset_dict.json").exists():
        names = _saved(root / "dataset_dict.json", "splits")
        root = root / _chosen(split, names, source)
    if (root / "state.json").exists():
        # As Dataset.save_to_disk writes it.
        named = [entry["filename"] for entry in _saved(root / "state.json", "_data_files")]
    elif not data_below(root):
        raise DataError(
            "DataNotFound", f"{source}: {root} has no csv, json, jsonl, parquet or arrow file: put one there"
        )
    else:
        named = files_of_split(root, split, source)
    return [DataFile(path=root / name, name=str(root / name)) for name in named]


def _saved(file: Path, key: str) -> list[Any]:
    """What save_to_disk has written about a data set."""
    try:
        return list(json.loads(file.read_text())[key])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            "DataUnreadable", f"{file} is not what datasets' save_to_disk writes ({error!r}): save the data set again"
        ) from error


def files_of_split(root: Path, split: str, source: str) -> list[str]:
    """Paths relative to a directory, of the files that datasets takes for a split."""
    _refuse_leading_out(root / CARD, source)
    configuration, _, name = split.rpartition("/")
    try:
        with _quiet(), tempfile.TemporaryDirectory() as cache:
            builder = datasets.load_dataset_builder(str(root), name=configuration or None, cache_dir=cache)
            found: Mapping[str, Any] = builder.config.data_files or {}
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        why = " ".join(str(error).split()).replace(str(root), source)[:300]
        raise DataError(
            "DataNotFound", f"{source}: datasets cannot tell its files ({why}): the form is {FORM}"
        ) from error
    files = [Path(str(file)) for file in found[_chosen(name, [str(each) for each in found], source)]]
    if any(not file.is_relative_to(root) for file in files):
        raise DataError("DataRefused", f"{source} names files outside of it in {CARD}: it is not used")
    return [file.relative_to(root).as_posix() for file in files]


def _chosen(split: str, names: list[str], source: str) -> str:
    wanted = split or (_DEFAULT_SPLIT if len(names) > 1 else names[0])
    if wanted not in names:
        raise DataError(
            "DataNotFound", f"{source} has no split {wanted!r}: write one of {', '.join(sorted(names))} behind a #"
        )
    return wanted


def _refuse_leading_out(card: Path, source: str) -> None:
    """A card's patterns may name any path and any URL, which datasets would look at."""
    if not card.exists():
        return
    text = card.read_text(errors="replace")
    block = text.removeprefix("---").partition("\n---")[0] if text.startswith("---") else ""
    try:
        facts = yaml.safe_load(block)
    except yaml.YAMLError:
        return
    configurations = facts.get("configs") if isinstance(facts, dict) else None
    for pattern in _strings(configurations):
        if (
            "://" in pattern
            or "::" in pattern
            or pattern.startswith(("/", "~"))
            or ".." in PurePosixPath(pattern).parts
        ):
            raise DataError(
                "DataRefused", f"{source} names files outside of it in {CARD} ({pattern[:80]!r}): it is not used"
            )


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _strings(each)
    elif isinstance(value, list):
        for each in value:
            yield from _strings(each)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without datasets' remarks about cards, which are of no use to who tunes."""
    before = datasets.logging.get_verbosity()
    datasets.logging.set_verbosity_error()
    try:
        yield
    finally:
        datasets.logging.set_verbosity(before)
