"""The cache: one directory a source, made by one process at a time, complete or not there at all.

<cache>/<kind>-<slug>-<digest12>/    the files and manifest.json, or manifest.json alone (root elsewhere)
<cache>/.locks/<entry>.lock          held while an entry is made or repaired; freed by the system when its holder dies
<cache>/.blobs/<entry>/          layers of an oci: source on their way; what a killed process left is continued
<cache>/.latest/                 what a tag named when it was fetched last
<cache>/.tmp/<entry>.<random>/       an entry in the making; what a killed process left is removed by the next one
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import filelock

from serving.weights import manifest, space
from serving.weights.errors import WeightsError
from serving.weights.manifest import Manifest
from serving.weights.model import Progress, Report, ResolvedWeights

LAYOUT = "1"
"""Part of every entry's key: raise it when the same source should be converted again."""

Build = Callable[[Path], Manifest]
"""Fills an empty directory and says what is in it; it need not clean up when it fails."""


def default_directory() -> Path:
    """$MODELYARD_CACHE/weights, else $XDG_CACHE_HOME/modelyard/weights, else ~/.cache/modelyard/weights."""
    if own := os.environ.get("MODELYARD_CACHE"):
        return Path(own).expanduser() / "weights"
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "modelyard" / "weights"


@dataclass(frozen=True)
class Entry:
    """The place of one source in the cache. `key` is everything that its content depends on."""

    cache: Path
    kind: str
    slug: str
    key: str

    @property
    def name(self) -> str:
        digest = hashlib.sha256(f"{LAYOUT}\n{self.key}".encode()).hexdigest()[:12]
        return f"{self.kind}-{_slug(self.slug)}-{digest}"

    @property
    def path(self) -> Path:
        return self.cache / self.name

    def get_or_make(self, build: Build, report: Report) -> ResolvedWeights:
        """The entry, checked; made by `build` if it is not there, and again if it is damaged.

        Without a lock as long as size and time of every file are as recorded; a read-only cache serves as well.
        Raises WeightsError: CacheNotWritable, NoSpace, and whatever `build` raises.
        """
        found = manifest.read(self.path)
        if found is not None and not found.changed(self._root(found)):
            return self._resolved(found)
        try:
            with space.told(self.cache, f"an entry for {self.slug}"), self._locked(report):
                found = manifest.read(self.path)
                if found is not None and (kept := self._if_intact(found, report)) is not None:
                    return kept
                return self._resolved(self._make(build))
        except WeightsError as error:
            # In a container's image the times are rounded, so there every file is read on every call.
            if error.reason == "CacheNotWritable" and found is not None and not found.damaged(self._root(found)):
                return self._resolved(found)
            raise

    def _if_intact(self, found: Manifest, report: Report) -> ResolvedWeights | None:
        root = self._root(found)
        if not found.changed(root):
            return self._resolved(found)
        report(Progress(message=f"checking {self.name}: files have other times than recorded", total=found.bytes))
        if damaged := found.damaged(root):
            names = ", ".join(file.name for file in damaged)
            report(Progress(message=f"{self.name} is damaged ({names}): fetching it again"))
            return None
        found = found.with_times_of(root)
        found.write(self.path)
        return self._resolved(found)

    def _make(self, build: Build) -> Manifest:
        temporaries = self.cache / ".tmp"
        temporaries.mkdir(exist_ok=True)
        for left in temporaries.glob(f"{self.name}.*"):
            shutil.rmtree(left, ignore_errors=True)
        making = Path(tempfile.mkdtemp(prefix=f"{self.name}.", dir=temporaries))
        replaced = making.with_name(f"{making.name}.replaced")
        try:
            made = build(making)
            made.write(making)
            making.chmod(0o755)
            if self.path.exists():
                self.path.rename(replaced)
            making.rename(self.path)
        finally:
            shutil.rmtree(making, ignore_errors=True)
            shutil.rmtree(replaced, ignore_errors=True)
        return made

    @contextmanager
    def _locked(self, report: Report) -> Iterator[None]:
        locks = self.cache / ".locks"
        try:
            locks.mkdir(parents=True, exist_ok=True)
            lock = filelock.FileLock(locks / f"{self.name}.lock")
            try:
                lock.acquire(blocking=False)
            except filelock.Timeout:
                report(Progress(message=f"waiting for another process that is making {self.name}"))
                lock.acquire()
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
                raise
            raise WeightsError(
                "CacheNotWritable",
                f"cannot write to the weights cache {self.cache} ({error.strerror}): make it writable, or set "
                "MODELYARD_CACHE to a directory that is",
            ) from error
        try:
            yield
        finally:
            lock.release()

    def _root(self, found: Manifest) -> Path:
        return Path(found.root) if found.root else self.path

    def _resolved(self, found: Manifest) -> ResolvedWeights:
        return ResolvedWeights(path=self._root(found), digest=found.digest, bytes=found.bytes)


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-.")[:60]
