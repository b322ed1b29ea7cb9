"""Data sets of the Hugging Face hub, and in a directory as it has them.

Which files belong to a split is asked of the `datasets` library. It is shown the hub's repository as a directory of
empty files, so that only those of the split are fetched.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from huggingface_hub import HfApi, RepoFile

from presets.weights_source import WeightsSource, parse_weights_source
from serving.weights.hub import explained
from serving.weights.latest import Latest
from serving.weights.space import human
from tuning.data.errors import DataError, room, translated
from tuning.data.files import DataFile, is_data
from tuning.data.layout import CARD, FORM, files_of_split, local
from tuning.data.telling import Telling


def dataset(source: str, most: int, directory: Path, tell: Telling) -> list[DataFile]:
    """The files of one split, of `train` where none is named; where the hub does not answer, those fetched last.

    HF_TOKEN and HF_ENDPOINT mean what they mean to huggingface_hub.
    Raises DataError: DataNotFound, DataUnauthorized, DataUnreachable, DataUnreadable, DataRefused, DataTooLarge,
    NoSpace.
    """
    place, _, split = source.partition("#")
    try:
        parsed = parse_weights_source(place)
    except ValueError:
        parsed = None
    if parsed is None or parsed.kind not in ("hf", "file"):
        raise DataError("DataNotFound", f"tuning.input.dataset {source!r} is not {FORM}")
    if parsed.kind == "file":
        return local(Path(parsed.target), split, source)
    return _Repository(source, parsed, directory).fetch(split, most, tell)


class _Repository:
    """One data set of the hub; its files come to a folder of their commit below `directory`."""

    def __init__(self, source: str, parsed: WeightsSource, directory: Path) -> None:
        self._source = source
        self._name = parsed.target
        self._revision = parsed.version
        self._directory = directory
        # The hub has data sets in a folder of their own, which is how they are told in its errors.
        self._hub = WeightsSource(kind="hf", target=f"datasets/{parsed.target}", version=parsed.version)

    def fetch(self, split: str, most: int, tell: Telling) -> list[DataFile]:
        latest = Latest(self._directory, self._source)
        with translated():
            found = latest.or_else(lambda: json.dumps(self._look(split)), gone="WeightsNotFound")
        commit, sizes = json.loads(found)
        root = self._root(commit)
        for name, size in sizes.items():
            if size > most:
                raise DataError(
                    "DataTooLarge",
                    f"{name} of {self._source} is larger than {human(most)} ({most} bytes): raise tuning.input.maxGib",
                )
        missing = [name for name in sizes if not (root / name).exists()]
        root.mkdir(parents=True, exist_ok=True)
        with room(root, sum(sizes[name] for name in missing), f"fetching {self._source}"):
            for count, name in enumerate(sizes, 1):
                tell.sometimes(f"fetching {self._source}: {name}, file {count} of {len(sizes)}")
                self._file(commit, name)
        latest.write(found)
        return [DataFile(path=root / name, name=f"hf:{self._name}/{name}") for name in sizes]

    def _look(self, split: str) -> tuple[str, dict[str, int]]:
        """The commit that the revision names now, and the files of the split with their bytes. Raises WeightsError."""
        with explained(self._hub):
            commit = HfApi().resolve_revision(self._name, repo_type="dataset", revision=self._revision).resolved
            listed = HfApi().list_repo_tree(self._name, repo_type="dataset", revision=commit, recursive=True)
            sizes = {file.path: file.size for file in listed if isinstance(file, RepoFile)}
        return commit, {name: sizes[name] for name in self._names_of(split, commit, sizes)}

    def _names_of(self, split: str, commit: str, sizes: Mapping[str, int]) -> list[str]:
        wanted = [name for name in sizes if is_data(name)]
        if any(PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts for name in wanted):
            raise DataError("DataRefused", f"{self._source} has a file whose path leads out of it: it is not used")
        if not wanted:
            raise DataError(
                "DataNotFound",
                f"{self._source} has no csv, json, jsonl, parquet or arrow file: name a data set that has, or urls",
            )
        card = self._file(commit, CARD).read_text(errors="replace") if CARD in sizes else ""
        with tempfile.TemporaryDirectory() as temporary:
            skeleton = Path(temporary) / "repository"
            for name in wanted:
                (skeleton / name).parent.mkdir(parents=True, exist_ok=True)
                (skeleton / name).touch()
            (skeleton / CARD).write_text(card)
            return files_of_split(skeleton, split, self._source)

    def _root(self, commit: str) -> Path:
        return self._directory / f"{self._name.replace('/', '--')}-{commit[:12]}"

    def _file(self, commit: str, name: str) -> Path:
        """A file, fetched unless it is there as the hub has it. Raises WeightsError."""
        with explained(self._hub):
            return Path(
                HfApi().hf_hub_download(
                    self._name, name, repo_type="dataset", revision=commit, local_dir=self._root(commit)
                )
            )
