"""Data sets as the `datasets` library lays them out: on the Hugging Face hub, or in a directory.

Which files belong to a split is asked of that library. What is on the hub it is shown as a directory of empty files, so
that only those of the split are fetched.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import datasets
import yaml
from huggingface_hub import HfApi, RepoFile

from presets.weights_source import WeightsSource, parse_weights_source
from serving.weights.hub import explained
from serving.weights.space import human
from tuning.data.errors import DataError, room, translated
from tuning.data.files import DataFile, data_below, is_data
from tuning.data.telling import Telling

_CARD = "README.md"
_FORM = "hf:ORG/NAME[@REVISION][#SPLIT] or file:/PATH[#SPLIT], with #CONFIGURATION/SPLIT where there are several"
_DEFAULT_SPLIT = "train"


def dataset(source: str, most: int, directory: Path, tell: Telling) -> list[DataFile]:
    """The files of one split, of `train` where none is named. HF_TOKEN and HF_ENDPOINT mean what they mean to
    huggingface_hub.

    Raises DataError: DataNotFound, DataUnauthorized, DataUnreachable, DataRefused, DataTooLarge, NoSpace.
    """
    place, _, split = source.partition("#")
    try:
        parsed = parse_weights_source(place)
    except ValueError:
        parsed = None
    if parsed is None or parsed.kind not in ("hf", "file"):
        raise DataError("DataNotFound", f"data.dataset {source!r} is not {_FORM}")
    if parsed.kind == "file":
        return _local(Path(parsed.target), split, source)
    # The hub has data sets in a folder of their own, which is how they are told in its errors.
    hub = WeightsSource(kind="hf", target=f"datasets/{parsed.target}", version=parsed.version)
    with translated(), explained(hub):
        commit = HfApi().resolve_revision(parsed.target, repo_type="dataset", revision=parsed.version).resolved
        listed = HfApi().list_repo_tree(parsed.target, repo_type="dataset", revision=commit, recursive=True)
        sizes = {file.path: file.size for file in listed if isinstance(file, RepoFile)}
    root = directory / f"{parsed.target.replace('/', '--')}-{commit[:12]}"
    return _Repository(parsed.target, commit, sizes, root, hub, tell).fetch(split, most, source)


class _Repository:
    """One data set of the hub at one commit; `root` is where its files come to."""

    def __init__(
        self, name: str, commit: str, sizes: Mapping[str, int], root: Path, hub: WeightsSource, tell: Telling
    ) -> None:
        self._name = name
        self._commit = commit
        self._sizes = sizes
        self._root = root
        self._hub = hub
        self._tell = tell

    def fetch(self, split: str, most: int, source: str) -> list[DataFile]:
        names = self._names_of(split, source)
        for name in names:
            if self._sizes[name] > most:
                raise DataError(
                    "DataTooLarge",
                    f"{name} of {source} is larger than {human(most)} ({most} bytes): raise data.most_bytes",
                )
        missing = [name for name in names if not (self._root / name).exists()]
        self._root.mkdir(parents=True, exist_ok=True)
        with room(self._root, sum(self._sizes[name] for name in missing), f"fetching {source}"):
            for count, name in enumerate(names, 1):
                self._tell.sometimes(f"fetching {source}: {name}, file {count} of {len(names)}")
                self._file(name)
        return [DataFile(path=self._root / name, name=f"hf:{self._name}/{name}") for name in names]

    def _names_of(self, split: str, source: str) -> list[str]:
        wanted = [name for name in self._sizes if is_data(name)]
        if any(PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts for name in wanted):
            raise DataError("DataRefused", f"{source} has a file whose path leads out of it: it is not used")
        if not wanted:
            raise DataError(
                "DataNotFound",
                f"{source} has no csv, json, jsonl, parquet or arrow file: name a data set that has, or data.urls",
            )
        card = self._file(_CARD).read_text(errors="replace") if _CARD in self._sizes else ""
        with tempfile.TemporaryDirectory() as temporary:
            skeleton = Path(temporary) / "repository"
            for name in wanted:
                (skeleton / name).parent.mkdir(parents=True, exist_ok=True)
                (skeleton / name).touch()
            (skeleton / _CARD).write_text(card)
            return _names_by_datasets(skeleton, split, source)

    def _file(self, name: str) -> Path:
        """A file, fetched unless it is there as the hub has it."""
        with translated(), explained(self._hub):
            return Path(
                HfApi().hf_hub_download(
                    self._name, name, repo_type="dataset", revision=self._commit, local_dir=self._root
                )
            )


def _local(root: Path, split: str, source: str) -> list[DataFile]:
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
        named = _names_by_datasets(root, split, source)
    return [DataFile(path=root / name, name=str(root / name)) for name in named]


def _saved(file: Path, key: str) -> list[Any]:
    """What save_to_disk has written about a data set."""
    try:
        return list(json.loads(file.read_text())[key])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            "DataUnreadable", f"{file} is not what datasets' save_to_disk writes ({error!r}): save the data set again"
        ) from error


def _names_by_datasets(root: Path, split: str, source: str) -> list[str]:
    """Paths relative to a directory, of the files that datasets takes for a split."""
    _refuse_leading_out(root / _CARD, source)
    configuration, _, name = split.rpartition("/")
    try:
        with _quiet(), tempfile.TemporaryDirectory() as cache:
            builder = datasets.load_dataset_builder(str(root), name=configuration or None, cache_dir=cache)
            found: Mapping[str, Any] = builder.config.data_files or {}
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        why = " ".join(str(error).split()).replace(str(root), source)[:300]
        raise DataError(
            "DataNotFound", f"{source}: datasets cannot tell its files ({why}): the form is {_FORM}"
        ) from error
    files = [Path(str(file)) for file in found[_chosen(name, [str(each) for each in found], source)]]
    if any(not file.is_relative_to(root) for file in files):
        raise DataError("DataRefused", f"{source} names files outside of it in {_CARD}: it is not used")
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
                "DataRefused", f"{source} names files outside of it in {_CARD} ({pattern[:80]!r}): it is not used"
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
