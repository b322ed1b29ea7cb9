"""Whatever the source of the data is, the files that it has."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from presets.image_reference import parse_image
from presets.tuning_job import DataSettings, TuningProgress
from presets.weights_source import parse_weights_source
from serving.oci.image import Image
from serving.oci.layer import opened
from serving.weights import space
from tuning.data.download import Downloads
from tuning.errors import TuningError
from tuning.progress import Say

SUFFIXES = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet", ".arrow", ".feather", ".txt")
"""Of files that are read where a source has several; each also with .gz."""
_IN_IMAGE = PurePosixPath("data")
"""Where KAITO's images have their data."""


def files_of(data: DataSettings, directory: Path, say: Say) -> dict[str, Path]:
    """Files by the name that people know them by; what is fetched comes into `directory`.

    Raises TuningError, and WeightsError for images and the hub.
    """
    if data.urls:
        with Downloads(directory, data, say) as downloads:
            return {url.partition("?")[0]: downloads.fetch(url, number) for number, url in enumerate(data.urls, 1)}
    if data.image:
        return _of_image(data, directory, say)
    if data.directory:
        return _of_directory(Path(data.directory))
    assert data.dataset is not None, "the job has one source"
    kind, _, rest = data.dataset.partition(":")
    if kind == "file":
        return _of_directory(Path(rest.partition("#")[0]))
    return _of_hub(data.dataset, say)


def _of_directory(path: Path) -> dict[str, Path]:
    if path.is_file():
        return {str(path): path}
    if not path.is_dir():
        raise TuningError(
            "DataNotFound", f"there is no {path} on the machine where the job runs: correct it, or put the data there"
        )
    return _several(str(path), sorted(each for each in path.rglob("*") if each.is_file()))


def _several(where: str, found: list[Path]) -> dict[str, Path]:
    files = {str(path): path for path in found if is_data(path.name) and not path.name.startswith(".")}
    if not files:
        raise TuningError(
            "DataNotFound", f"{where} has no file with data ({', '.join(SUFFIXES[:-1])}): put it there, or correct it"
        )
    return files


def is_data(name: str) -> bool:
    return name.lower().removesuffix(".gz").endswith(SUFFIXES)


def _of_image(data: DataSettings, directory: Path, say: Say) -> dict[str, Path]:
    """Every file below /data of every layer; a later layer's wins."""
    reference = parse_image(str(data.image))
    if reference is None:
        raise TuningError("DataNotFound", f"{data.image} is no image reference")
    root = directory / "image"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    with Image(reference) as image, space.told(directory, f"fetching {reference}"):
        say(TuningProgress(phase="data", message=f"fetching {reference}"))
        for number, layer in enumerate(image.layers(image.digest())):
            blob = directory / f"layer-{number}"
            image.fetch(layer, blob, lambda _: None)
            with opened(blob, image.source, max_bytes=data.most_bytes) as archive:
                for path, member in archive:
                    if member.isreg() and path.is_relative_to(_IN_IMAGE) and is_data(path.name):
                        to = root / path.relative_to(_IN_IMAGE)
                        to.parent.mkdir(parents=True, exist_ok=True)
                        archive.write(member, to)
            blob.unlink()
    found = _several(f"{reference} below /data", sorted(path for path in root.rglob("*") if path.is_file()))
    return {f"{reference}/{path.relative_to(root)}": path for path in found.values()}


def _of_hub(dataset: str, say: Say) -> dict[str, Path]:
    """The files of a repository of data, or of one split of it, in the hub's own cache."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

    text, _, split = dataset.partition("#")
    source = parse_weights_source(text)
    say(TuningProgress(phase="data", message=f"fetching {text}"))
    patterns = [f"**{suffix}{packed}" for suffix in SUFFIXES for packed in ("", ".gz")]
    try:
        root = Path(
            snapshot_download(source.target, repo_type="dataset", revision=source.version, allow_patterns=patterns)
        )
    except RepositoryNotFoundError as error:
        raise TuningError(
            "DataNotFound", f"{text}: the hub has no such dataset, or HF_TOKEN may not read it: correct one of them"
        ) from error
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise TuningError("DataUnreachable", f"{text} cannot be fetched ({str(error)[:200]})") from error
    found = list(_of_split(root, split))
    named = _several(f"{dataset}", found)
    return {f"{text}/{path.relative_to(root)}": path for path in named.values()}


def _of_split(root: Path, split: str) -> Iterator[Path]:
    """As the hub names them: train-00000-of-00001.parquet, or a folder."""
    for path in sorted(each for each in root.rglob("*") if each.is_file()):
        inside = path.relative_to(root)
        if not split or inside.name.startswith((f"{split}-", f"{split}.")) or split in inside.parts[:-1]:
            yield path
