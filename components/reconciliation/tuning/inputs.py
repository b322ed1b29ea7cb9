"""What training data look like from outside: whether they are still those that an adapter was made from.

Nothing is downloaded: of a URL its server's own marks count, of a file its bytes.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import httpx

from presets.tuning_job import DataSettings

_SECONDS = 5.0
_MARKS = ("etag", "last-modified", "content-length", "location")
_CHUNK = 1 << 20


def fingerprint(data: DataSettings) -> str | None:
    """A digest of all sources; None where one of them cannot be told now, as when a server does not answer, or never:
    what a tag or a branch names is not looked up."""
    marks = [*(_of_url(url) for url in data.urls), *(_of_path(path) for path in _paths(data))]
    if not marks or not all(marks):
        return None
    return hashlib.sha256("\n".join(str(mark) for mark in marks).encode()).hexdigest()[:12]


def data_changed(before: str | None, data: DataSettings) -> str:
    """What to say where the data are others than those with the fingerprint `before`; "" where that cannot be told.

    `before` is None where no job has ended, and "" where its data could not be told: then they count as others as soon
    as they can be. The job that runs again sees whether they are.
    """
    now = fingerprint(data) if before is not None else None
    return "the training data have changed" if now is not None and now != before else ""


def _paths(data: DataSettings) -> list[Path]:
    """Files and directories of this machine."""
    named = [data.directory] if data.directory else []
    if data.dataset and data.dataset.startswith("file:"):
        named.append(data.dataset.removeprefix("file:").partition("#")[0])
    return [Path(name) for name in named]


def _of_url(url: str) -> str | None:
    try:
        answer = httpx.head(url, timeout=_SECONDS)
    except (httpx.HTTPError, httpx.InvalidURL):
        return None
    marks = [f"{name}={answer.headers[name]}" for name in _MARKS if name in answer.headers]
    # Without marks there is nothing that a change would show in.
    return f"{url} {' '.join(marks)}" if marks and (answer.is_success or answer.is_redirect) else None


def _of_path(path: Path) -> str | None:
    try:
        files = sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]
        return " ".join(f"{file}:{_digest(file)}" for file in files)
    except OSError:
        return None


def _digest(file: Path) -> str:
    hasher = hashlib.sha256()
    with file.open("rb") as opened:
        while chunk := opened.read(_CHUNK):
            hasher.update(chunk)
    return hasher.hexdigest()
