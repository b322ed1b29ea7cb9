"""From the settings to files on this machine."""

from __future__ import annotations

from pathlib import Path

from presets.tuning_job import DataSettings
from serving.weights.space import human
from tuning.data.download import download, without_credentials
from tuning.data.errors import DataError
from tuning.data.files import DataFile, all_below, data_below
from tuning.data.hub import dataset
from tuning.data.image import pull
from tuning.data.telling import Telling


def fetch(settings: DataSettings, directory: Path, tell: Telling) -> list[DataFile]:
    """The files of the one source, in their order. What is fetched lies below `directory`; what is on this machine is
    read where it is. Raises DataError as each kind of source does."""
    for checksum in settings.checksums:
        if checksum.url not in settings.urls:
            raise DataError(
                "DataChecksumMismatch",
                f"tuning.input.sha256 names {without_credentials(checksum.url)}, which is none of the urls: correct it",
            )
    if settings.urls:
        files = download(settings, directory / "urls", tell)
    elif settings.image:
        files = pull(settings.image, settings.most_bytes, directory / "images", tell)
    elif settings.dataset:
        files = dataset(settings.dataset, settings.most_bytes, directory / "hub", tell)
    else:
        files = _on_this_machine(Path(settings.directory or ""))
    for file in files:
        _must_be_usable(file, settings.most_bytes)
    return files


def _on_this_machine(root: Path) -> list[DataFile]:
    if root.is_dir():
        names = data_below(root)
        if not names:
            there = ", ".join(sorted(all_below(root))[:5])
            what = f"only {there}" if there else "it is empty"
            raise DataError(
                "DataNotFound",
                f"{root} has no csv, json, jsonl, parquet or arrow file ({what}): put one there, or "
                "mount the volume that has",
            )
        return [DataFile(path=root / name, name=str(root / name)) for name in names]
    if not root.exists():
        raise DataError(
            "DataNotFound", f"there is no {root} on the machine where the job runs: correct tuning.input, or mount it"
        )
    return [DataFile(path=root, name=str(root))]


def _must_be_usable(file: DataFile, most: int) -> None:
    try:
        if not file.path.is_file():
            raise DataError("DataNotFound", f"{file.name} is no file: name a file, or a directory with files")
        size = file.path.stat().st_size
        with file.path.open("rb"):
            pass
    except OSError as error:
        raise DataError(
            "DataNotFound", f"{file.name} cannot be read ({error.strerror}): change its mode or owner"
        ) from error
    if size > most:
        raise DataError(
            "DataTooLarge",
            f"{file.name} is larger than {human(most)} ({most} bytes): split it, or raise tuning.input.maxGib",
        )
