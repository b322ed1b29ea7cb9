"""An adapter as the image that KAITO's tuning makes: one layer, the two files below data/.

The same adapter gives the same bytes: nothing in it tells a time, a user or a machine.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tuning.training.trained import ADAPTER_FILES

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
_CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
_LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"
_LEVEL = 1
"""Weights hardly become smaller."""


@dataclass(frozen=True, kw_only=True)
class AdapterImage:
    blobs: Mapping[str, bytes]
    """Config and layer, by digest."""
    manifest: bytes

    @property
    def layers(self) -> list[dict[str, object]]:
        """As the manifest describes them."""
        return json.loads(self.manifest)["layers"]

    @property
    def digest(self) -> str:
        return _digest(self.manifest)


def adapter_image(adapter: Path, annotations: Mapping[str, str]) -> AdapterImage:
    """All of it in memory: an adapter has megabytes."""
    archive = _archive(adapter)
    layer = gzip.compress(archive, compresslevel=_LEVEL, mtime=0)
    config = _json(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [_digest(archive)]},
        }
    )
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": _described(config, _CONFIG_TYPE),
            "layers": [_described(layer, _LAYER_TYPE)],
            "annotations": dict(annotations),
        }
    )
    return AdapterImage(blobs={_digest(config): config, _digest(layer): layer}, manifest=manifest)


def _archive(adapter: Path) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        folder = tarfile.TarInfo("data")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o755
        archive.addfile(folder)
        for name in ADAPTER_FILES:
            content = (adapter / name).read_bytes()
            member = tarfile.TarInfo(f"data/{name}")
            member.size, member.mode = len(content), 0o644
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def _described(content: bytes, media_type: str) -> dict[str, object]:
    return {"mediaType": media_type, "digest": _digest(content), "size": len(content)}


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
