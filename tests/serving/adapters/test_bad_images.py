"""Images that are damaged, hostile or no adapter, and what is said of them."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from serving.oci.layer_file import LayerFile
from tests.registry_server import RegistryServer
from tests.serving.adapters.builders import files, layer, link
from tests.serving.adapters.cache import Cache, is_the_adapter


def fewer_bytes(registry: RegistryServer) -> None:
    [digest] = [digest for digest, blob in registry.blobs.items() if blob[:2] == b"\x1f\x8b"]
    registry.blobs[digest] = registry.blobs[digest][:-10]


def other_bytes(registry: RegistryServer) -> None:
    [digest] = [digest for digest, blob in registry.blobs.items() if blob[:2] == b"\x1f\x8b"]
    registry.blobs[digest] = registry.blobs[digest][:-1] + b"?"


@pytest.mark.parametrize("damage", [fewer_bytes, other_bytes])
def test_bytes_that_are_not_what_the_manifest_says_are_not_used(
    cache: Cache, registry: RegistryServer, damage: Callable[[RegistryServer], None]
) -> None:
    registry.add_image("a", "1", layer(files()))
    damage(registry)
    assert cache.refuses(f"oci:{registry.host}/a:1").reason == "DownloadFailed"


def escaping() -> bytes:
    return layer(files(), tarfile.TarInfo("../../etc/cron.d/evil"))


def linked() -> bytes:
    only_config = {"adapter_config.json": files()["adapter_config.json"]}
    return layer(only_config, link("data/adapter_model.safetensors", "/etc/passwd"))


def pickled() -> bytes:
    return layer({"adapter_config.json": files()["adapter_config.json"], "adapter_model.bin": b"\x80\x02"})


def packed(*headers: bytes, kind: bytes = tarfile.XGLTYPE, compress: Callable[[bytes], bytes] = gzip.compress) -> bytes:
    """A layer with a good adapter behind headers of pax, which are for all files behind them or for the next one."""
    out = io.BytesIO()
    for header in headers:
        info = tarfile.TarInfo("header")
        info.type, info.size = kind, len(header)
        out.write(info.tobuf(tarfile.USTAR_FORMAT) + header + bytes(-len(header) % tarfile.BLOCKSIZE))
    return compress(out.getvalue() + gzip.decompress(layer(files())))


def record(size: int) -> bytes:
    """One attribute of pax of so many bytes."""
    return f"{size} comment=".encode().ljust(size - 1, b"x") + b"\n"


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress, bytes])
def test_a_layer_may_be_compressed_in_any_way_and_have_headers(
    cache: Cache, registry: RegistryServer, compress: Callable[[bytes], bytes]
) -> None:
    registry.add_image("a", "1", packed(record(1000), compress=compress))
    assert is_the_adapter(cache.fetch(f"oci:{registry.host}/a:1"))


def test_headers_without_end_take_no_memory(cache: Cache, registry: RegistryServer) -> None:
    registry.add_image("a", "1", packed(record(64 * 2**20)))
    tracemalloc.start()
    try:
        assert cache.refuses(f"oci:{registry.host}/a:1").reason == "UnsafeArchive"
        assert tracemalloc.get_traced_memory()[1] < 16 * 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (packed(*[record(2**20)] * 33), "UnsafeArchive"),
        (packed(*[record(20)] * 2000), "AdapterUnreadable"),
        (packed(b"14 size=-5120\n", kind=tarfile.XHDTYPE), "UnsafeArchive"),
        (packed(compress=lzma.compress)[:200] + b"damaged" * 9, "AdapterUnreadable"),
    ],
    ids=["many headers", "headers of headers", "a size below zero", "damaged xz"],
)
def test_a_hostile_layer_is_refused(cache: Cache, registry: RegistryServer, content: bytes, reason: str) -> None:
    registry.add_image("a", "1", content)
    assert cache.refuses(f"oci:{registry.host}/a:1").reason == reason


def test_a_layer_that_grows_beyond_all_bounds_is_refused(tmp_path: Path) -> None:
    (tmp_path / "layer").write_bytes(layer({"other": bytes(3000)}))
    file = LayerFile(tmp_path / "layer", 1000, ValueError)
    with file, tarfile.open(fileobj=file, mode="r:") as archive, pytest.raises(ValueError, match="a layer of more"):
        archive.getmembers()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (escaping(), "UnsafeArchive"),
        (linked(), "UnsafeArchive"),
        (pickled(), "PickledWeights"),
        (layer({"readme.md": b"hello"}), "AdapterNotFound"),
        (layer({"adapter_config.json": b"{}"}), "AdapterNotFound"),
        (b"no archive", "AdapterUnreadable"),
        (layer(files())[:-200], "AdapterUnreadable"),
        (layer({"adapter_config.json": b" " * (2**20 + 1)}), "AdapterTooLarge"),
    ],
    ids=["escapes", "links", "pickle", "other files", "half", "no archive", "truncated archive", "too large"],
)
def test_an_image_that_is_no_adapter_is_refused(
    cache: Cache, registry: RegistryServer, content: bytes, reason: str
) -> None:
    registry.add_image("a", "1", content)
    assert cache.refuses(f"oci:{registry.host}/a:1").reason == reason


def test_an_image_that_is_not_there_is_named(cache: Cache, registry: RegistryServer) -> None:
    refused = cache.refuses(f"oci:{registry.host}/none:1")
    assert refused.reason == "AdapterNotFound"
    assert f"{registry.host}/none:1" in refused.message


def test_an_artifact_with_a_pickle_is_refused(cache: Cache, registry: RegistryServer) -> None:
    config, weights = files()["adapter_config.json"], b"\x80\x02pickle"
    layers = [
        {
            "mediaType": "application/octet-stream",
            "digest": registry.add_blob(data),
            "size": len(data),
            "annotations": {"org.opencontainers.image.title": name},
        }
        for name, data in {"adapter_config.json": config, "adapter_model.bin": weights}.items()
    ]
    registry.add_manifest("a", "1", {"schemaVersion": 2, "layers": layers})
    assert cache.refuses(f"oci:{registry.host}/a:1").reason == "PickledWeights"
