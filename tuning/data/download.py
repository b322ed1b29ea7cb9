"""One URL to one file: bounded, gone on with where it broke off, and not fetched again while it is the same."""

from __future__ import annotations

import hashlib
import json
import re
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import tenacity

from presets.tuning_job import DataSettings, TuningProgress
from serving.weights import space
from tuning.data.addresses import must_be_allowed, peer_must_be_allowed, shown
from tuning.errors import TuningError
from tuning.progress import Say

_ATTEMPTS = 4
_TIMEOUT = httpx.Timeout(30.0)
_MOST_REDIRECTS = 5
_CHUNK = 1 << 18
_SECONDS_BETWEEN_WORDS = 2.0
_LATER = frozenset({408, 425, 429, 500, 502, 503, 504})
_SETTING = "tuning.input"


class _TryAgain(Exception):
    """What another attempt may not meet."""


class Downloads:
    """Files below `directory`. For a with block, which closes the connections."""

    def __init__(self, directory: Path, data: DataSettings, say: Say) -> None:
        self._directory = directory
        self._data = data
        self._say = say
        self._checksums = {each.url: each.sha256 for each in data.checksums}
        self._http = httpx.Client(timeout=_TIMEOUT, follow_redirects=False)
        directory.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Downloads:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._http.close()

    def fetch(self, text: str, number: int) -> Path:
        """The file of the URL, which is the `number`th. Raises TuningError: DataUnreachable, DataNotFound, DataRefused,
        DataTooLarge, DataChecksumMismatch; and WeightsError (NoSpace)."""
        url = _parsed(text)
        name = re.sub(r"[^\w.-]+", "-", url.path.rpartition("/")[2])[-80:] or "data"
        file = self._directory / f"{number:03}-{name}"
        partial = file.with_name(f"{file.name}.partial")
        attempts = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type((_TryAgain, httpx.TransportError)),
            stop=tenacity.stop_after_attempt(_ATTEMPTS),
            wait=tenacity.wait_exponential(multiplier=0.5, max=10),
            reraise=True,
        )
        try:
            with space.told(self._directory, f"fetching {shown(url)}"):
                marks = attempts(self._attempt, url, file, partial)
        except (_TryAgain, httpx.TransportError) as error:
            raise TuningError(
                "DataUnreachable",
                f"{shown(url)} cannot be fetched ({error or type(error).__name__}), {_ATTEMPTS} times in a row: check "
                "the URL, the network and the proxy settings",
            ) from error
        if marks is not None:
            self._must_be_as_told(text, url, partial)
            partial.replace(file)
            _marks_of(file).write_text(json.dumps(marks), encoding="utf-8")
        return file

    def _attempt(self, url: httpx.URL, file: Path, partial: Path) -> dict[str, str] | None:
        """What the server says of the bytes that are now in `partial`; None: those in `file` are still the same."""
        known = _read(_marks_of(file)) if file.exists() else {}
        begun = _read(_marks_of(partial)) if partial.exists() else {}
        headers = {"Accept-Encoding": "identity"}
        if known.get("url") == str(url):
            headers |= {name: known[key] for name, key in _CONDITIONS.items() if known.get(key)}
        elif begun.get("url") == str(url) and begun.get("etag"):
            headers |= {"Range": f"bytes={partial.stat().st_size}-", "If-Range": begun["etag"]}
        with closing(self._answer(url, headers)) as response:
            if response.status_code == httpx.codes.NOT_MODIFIED:
                return None
            self._must_be_data(url, response)
            marks = {"url": str(url)} | {
                key: response.headers[key] for key in ("etag", "last-modified") if key in response.headers
            }
            continues = response.status_code == httpx.codes.PARTIAL_CONTENT
            there = partial.stat().st_size if continues else 0
            length = int(response.headers.get("content-length") or 0)
            self._bound(url, there + length)
            space.require(self._directory, length, f"fetching {shown(url)}", settings=_SETTING)
            _marks_of(partial).write_text(json.dumps(marks), encoding="utf-8")
            self._receive(url, response, partial, there, there + length)
        _marks_of(partial).unlink()
        return marks

    def _answer(self, url: httpx.URL, headers: dict[str, str]) -> httpx.Response:
        """The first answer that is no redirect. Each address on the way is checked before it is asked."""
        for _ in range(_MOST_REDIRECTS + 1):
            must_be_allowed(url, self._data.allowed_hosts)
            response = self._http.send(self._http.build_request("GET", url, headers=headers), stream=True)
            peer_must_be_allowed(response, self._data.allowed_hosts)
            if response.next_request is None:
                return response
            response.close()
            url = response.next_request.url
        raise TuningError("DataUnreachable", f"{shown(url)} is redirected more than {_MOST_REDIRECTS} times")

    def _must_be_data(self, url: httpx.URL, response: httpx.Response) -> None:
        status = response.status_code
        if status in _LATER:
            raise _TryAgain(f"HTTP {status}")
        if status in (401, 403):
            raise TuningError("DataRefused", f"{shown(url)}: the server refuses it (HTTP {status}): use a signed URL")
        if status in (404, 410):
            raise TuningError("DataNotFound", f"{shown(url)}: there is no such file (HTTP {status}): correct the URL")
        if not response.is_success:
            raise TuningError("DataUnreachable", f"{shown(url)}: the server answers HTTP {status}")

    def _bound(self, url: httpx.URL, size: int) -> None:
        if size > self._data.most_bytes:
            raise TuningError(
                "DataTooLarge",
                f"{shown(url)} has more than the {space.human(self._data.most_bytes)} that a file may have: raise "
                "tuning.input.maxGib",
            )

    def _receive(self, url: httpx.URL, response: httpx.Response, partial: Path, there: int, total: int) -> None:
        told = time.monotonic()
        with partial.open("ab" if there else "wb") as out:
            done = there
            for chunk in response.iter_bytes(_CHUNK):
                done += len(chunk)
                self._bound(url, done)
                out.write(chunk)
                if time.monotonic() - told > _SECONDS_BETWEEN_WORDS:
                    told = time.monotonic()
                    of = f" of {space.human(total)}" if total > there else ""
                    self._say(TuningProgress(phase="data", message=f"fetching {shown(url)}: {space.human(done)}{of}"))
        if total > there and done < total:
            raise _TryAgain(f"it broke off after {space.human(done)} of {space.human(total)}")

    def _must_be_as_told(self, text: str, url: httpx.URL, file: Path) -> None:
        wanted = self._checksums.get(text)
        if wanted is None:
            return
        found = sha256_of(file)
        if found != wanted:
            file.unlink()
            raise TuningError(
                "DataChecksumMismatch",
                f"{shown(url)} has the SHA-256 {found}, and tuning.input.sha256 says {wanted}: the file is another "
                "than it was, or the sum is wrong",
            )


_CONDITIONS = {"If-None-Match": "etag", "If-Modified-Since": "last-modified"}


def sha256_of(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _parsed(text: str) -> httpx.URL:
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise TuningError("DataRefused", f"{text[:200]!r} is no URL ({error}): correct it") from error
    if not url.host:
        raise TuningError("DataRefused", f"{text[:200]!r} is no URL: it begins with https://HOST/")
    return url


def _marks_of(file: Path) -> Path:
    return file.with_name(f".{file.name}.json")


def _read(file: Path) -> dict[str, Any]:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
