"""Data that comes as an image."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Iterator

import pytest

from tests.registry_server import RegistryServer
from tests.tuning.data.yard import Yard, jsonl

TRAIN = jsonl({"text": "Ahoy"}).encode()


@pytest.fixture
def registry() -> Iterator[RegistryServer]:
    with RegistryServer() as server:
        yield server


def layer(files: dict[str, bytes | tarfile.TarInfo], *, packed: bool = True) -> bytes:
    """A layer with files of these contents, or with members as they are."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in files.items():
            if isinstance(content, tarfile.TarInfo):
                archive.addfile(content)
                continue
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return gzip.compress(out.getvalue()) if packed else out.getvalue()


def link(name: str, to: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, to
    return member


def texts(yard: Yard, registry: RegistryServer) -> list[str]:
    data = yard.load({"image": f"{registry.host}/data:1", "shuffle": False})
    return [row["text"] for row in data.train]


def test_files_below_data_are_read_and_nothing_else_is(yard: Yard, registry: RegistryServer) -> None:
    files = {"./data/a.jsonl": TRAIN, "data/sub/b.csv": b"text\nArr\n", "etc/c.csv": b"text\nno\n", "data/x.txt": b"no"}
    registry.add_image("data", "1", layer(dict(files)))
    assert texts(yard, registry) == ["Ahoy", "Arr"]
    unpacked = {path.name for path in (yard.root / "job").rglob("data/**/*.*") if path.is_file()}
    assert unpacked == {"a.jsonl", "b.csv"}


def test_an_image_is_fetched_once_and_again_when_its_tag_has_moved(yard: Yard, registry: RegistryServer) -> None:
    registry.add_image("data", "1", layer({"data/a.jsonl": TRAIN}))
    texts(yard, registry)
    registry.requests.clear()
    texts(yard, registry)
    assert not any("blobs" in request for request in registry.requests)
    registry.add_image("data", "1", layer({"data/a.jsonl": jsonl({"text": "Arr"}).encode()}, packed=False))
    assert texts(yard, registry) == ["Arr"]
    registry.status = 500
    assert texts(yard, registry) == ["Arr"], "a registry that is down stops what was fetched"


def test_later_layers_replace_and_remove_files_of_earlier_ones(yard: Yard, registry: RegistryServer) -> None:
    first = layer({"data/a.csv": b"text\nold\n", "data/b.csv": b"text\ngone\n", "data/c/d.csv": b"text\ngone too\n"})
    second = layer({"data/a.csv": b"text\nnew\n", "data/.wh.b.csv": b"", "data/c/.wh..wh..opq": b""})
    registry.add_image("data", "1", first, second)
    assert texts(yard, registry) == ["new"]


@pytest.mark.parametrize(
    ("files", "reason", "told"),
    [
        ({"data/../../a.csv": b"text\nx\n"}, "DataRefused", "leads out of it"),
        ({"/data/a.csv": b"text\nx\n"}, "DataRefused", "leads out of it"),
        ({"data/a.csv": link("data/a.csv", "/etc/passwd")}, "DataRefused", "a link or device"),
        ({"data/a.csv": link("data/a.csv", "etc/passwd", tarfile.LNKTYPE)}, "DataRefused", "a link or device"),
        ({"data/a.csv": b"text\n" + b"x" * 2000}, "DataTooLarge", "data/a.csv of oci:"),
        ({"data/notes.txt": b"hello"}, "DataNotFound", "no csv, json, jsonl, parquet or arrow file below /data"),
        ({"a.csv": b"text\nx\n"}, "DataNotFound", "below /data"),
    ],
)
def test_an_image_that_is_not_safe_or_has_no_data_is_told(
    yard: Yard,
    registry: RegistryServer,
    files: dict[str, bytes | tarfile.TarInfo],
    reason: str,
    told: str,
) -> None:
    registry.add_image("data", "1", layer(files))
    error = yard.refused({"image": f"{registry.host}/data:1", "most_bytes": 1500})
    assert error.reason == reason
    assert told in error.message
    assert not list((yard.root / "job").rglob("*.csv")), "a file is left there"


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        ({"status": 500}, "DataUnreachable"),
        ({"status": 404}, "DataNotFound"),
        ({"login": "me:secret"}, "DataUnauthorized"),
    ],
)
def test_a_registry_that_does_not_hand_it_out_is_told(
    yard: Yard, registry: RegistryServer, spoil: dict[str, object], reason: str
) -> None:
    registry.add_image("data", "1", layer({"data/a.jsonl": TRAIN}))
    for name, value in spoil.items():
        setattr(registry, name, value)
    assert yard.refused({"image": f"{registry.host}/data:1"}).reason == reason


def test_a_layer_that_is_damaged_is_told(yard: Yard, registry: RegistryServer) -> None:
    registry.add_image("data", "1", layer({"data/a.jsonl": TRAIN})[:-20])
    assert yard.refused({"image": f"{registry.host}/data:1"}).reason == "DataUnreadable"
