"""The serving code as one archive, which a stack brings to its cluster."""

from __future__ import annotations

import base64
import io
import re
import zipfile
from pathlib import Path

from components.fingerprints import code_files, code_version
from components.planning.manifests.scope import Delivery

_LONG_AGO = (1980, 1, 1, 0, 0, 0)
"""The first moment that a zip archive can tell: the same code is the same bytes, whenever it was checked out."""
_RAY = re.compile(r"^ray(?:\[[\w,]+\])?==(?P<version>\S+)", re.MULTILINE)


def delivery(project: Path) -> Delivery:
    """What a stack applies of the checkout it is run from."""
    return Delivery(
        digest=code_version(project),
        archive=base64.b64encode(archive(project)).decode("ascii"),
        ray_version=ray_version((project / "requirements" / "serving.txt").read_text(encoding="utf-8")),
    )


def archive(project: Path) -> bytes:
    """A zip archive of the code that replicas import; a ConfigMap holds 1 MiB at most."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as files:
        for file in code_files(project):
            entry = zipfile.ZipInfo(str(file.relative_to(project)), _LONG_AGO)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            files.writestr(entry, file.read_bytes())
    return buffer.getvalue()


def ray_version(lock: str) -> str:
    """The version of Ray in a lock file. Raises ValueError if there is none.

    >>> ray_version("numpy==2.4.6\\nray[serve]==2.60.0 \\\\\\n    --hash=sha256:00\\n")
    '2.60.0'
    """
    found = _RAY.search(lock)
    if found is None:
        raise ValueError("requirements/serving.txt locks no version of ray; run make lock")
    return found["version"]
