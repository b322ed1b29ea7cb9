"""A file at a URL: fetched once, gone on with where it broke off, and no longer than is allowed."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception

from presets.tuning_job import DataSettings
from serving.weights.space import human
from tuning.data.addresses import SCHEMES, CheckedTransport
from tuning.data.errors import DataError, room
from tuning.data.files import DataFile
from tuning.data.telling import Telling

_TIMEOUT = httpx.Timeout(60, connect=10)
"""Seconds between two pieces of an answer, and to connect."""
_MOST_REDIRECTS = 10
SECONDS_BEFORE_NEXT = (0.2, 1.0, 4.0, 10.0)
"""Before another attempt, after so many in a row without a byte; then a server is given up."""
_LONGEST_WAIT = 60.0
"""Seconds, whatever a server says in Retry-After."""
_CHUNK = 2**20


def download(settings: DataSettings, directory: Path, tell: Telling) -> list[DataFile]:
    """The files of all URLs, in their order, below `directory`.

    What is there already and has not changed at its server is not fetched again; where its server does not answer, it
    is used as it is. Raises DataError: DataRefused, DataNotFound, DataUnauthorized, DataUnreachable, DataTooLarge,
    DataChecksumMismatch, NoSpace.
    """
    directory.mkdir(parents=True, exist_ok=True)
    checksums = {checksum.url: checksum.sha256 for checksum in settings.checksums}
    files: list[DataFile] = []
    with httpx.Client(
        transport=CheckedTransport(settings.allowed_hosts), timeout=_TIMEOUT, follow_redirects=False, trust_env=False
    ) as client:
        for number, url in enumerate(settings.urls, 1):
            name = _unlike([file.name for file in files], without_credentials(url))
            path = directory / f"{number:03}-{hashlib.sha256(url.encode()).hexdigest()[:8]}-{_base(url)}"
            fetch = _Download(client, url, name, path, settings.most_bytes, checksums.get(url), tell)
            fetch.run()
            files.append(DataFile(path=path, name=name))
    return files


def without_credentials(url: str) -> str:
    """A URL as it may be told: without user and password, and without a query, which may be a signature.

    >>> without_credentials("https://me:secret@example.com:8443/a/train.csv?sig=abc#x")
    'https://example.com:8443/a/train.csv?...'
    """
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        return re.sub(r"//[^/]*@", "//", url.partition("?")[0])
    bare = str(parsed.copy_with(username=None, password=None, query=None, fragment=None))
    return bare + ("?..." if parsed.query else "")


@dataclass(frozen=True, kw_only=True)
class _Record:
    """What is known of a file, beside it; `sha256` is None as long as it is not complete."""

    etag: str | None = None
    modified: str | None = None
    size: int | None = None
    sha256: str | None = None

    def is_of(self, response: httpx.Response) -> bool:
        """Whether an answer is about the same content, as far as the server tells it apart."""
        other = _told_by(response)
        same = other.etag == self.etag if self.etag else bool(self.modified) and other.modified == self.modified
        return same and other.size in (None, self.size)


class _TryAgain(Exception):
    """An answer that the next attempt may better; `after` is in seconds, where the server says so."""

    def __init__(self, what: str, after: float | None = None) -> None:
        super().__init__(what)
        self.after = after


class _Download:
    """One URL and its file; PATH.part and PATH.record lie beside it while it comes."""

    def __init__(
        self, client: httpx.Client, url: str, name: str, path: Path, most: int, sha256: str | None, tell: Telling
    ) -> None:
        self._client = client
        self._url = url
        self._name = name
        self._path = path
        self._part = path.with_name(path.name + ".part")
        self._record = path.with_name(path.name + ".record")
        self._most = most
        self._sha256 = sha256
        self._tell = tell
        self._failures = 0

    def run(self) -> None:
        known = self._known()
        complete = self._path.exists() and DataFile(path=self._path, name="").digest() == f"sha256:{known.sha256}"
        if complete and self._sha256 is not None and self._sha256 == known.sha256:
            return
        self._tell.now(f"fetching {self._name}")
        try:
            for attempt in Retrying(
                retry=retry_if_exception(self._may_pass), stop=self._is_hopeless, wait=self._pause, reraise=True
            ):
                with attempt:
                    self._attempt(known if complete else None)
        except (httpx.TransportError, _TryAgain) as error:
            why = str(error) or type(error).__name__
            if complete and self._sha256 is None:
                self._tell.now(f"{self._name} does not answer ({why}): the copy fetched earlier is used")
                return
            raise DataError(
                "DataUnreachable",
                f"{self._name} cannot be fetched ({why}), {self._failures} times in a row: check the URL, the network "
                "and the proxy settings",
            ) from error

    def _attempt(self, complete: _Record | None) -> None:
        """Have the whole file, or raise. A record that is complete is asked about, a part is gone on with."""
        start = 0 if complete or not self._part.exists() else self._part.stat().st_size
        known = complete or self._known()
        with self._answer(_conditions(known, complete is not None, start)) as response:
            self._must_be_content(response)
            if complete and (response.status_code == httpx.codes.NOT_MODIFIED or complete.is_of(response)):
                self._must_have_checksum(complete.sha256 or "")
                return
            told = _told_by(response)
            if response.status_code != httpx.codes.PARTIAL_CONTENT:
                start = 0
            elif _start_of(response) != start:
                self._part.unlink(missing_ok=True)
                raise _TryAgain("it sent another part than was asked for")
            total = None if told.size is None else start + told.size
            self._must_be_short(total or start)
            with room(self._path.parent, max(0, (total or start) - start), f"fetching {self._name}"):
                self._record.write_text(json.dumps(asdict(told) | {"size": None}))
                sha256 = self._receive(response, start, total)
                self._must_have_checksum(sha256)
                size = self._part.stat().st_size
                self._part.replace(self._path)
                self._record.write_text(json.dumps(asdict(told) | {"size": size, "sha256": sha256}))

    @contextmanager
    def _answer(self, headers: dict[str, str]) -> Iterator[httpx.Response]:
        """The answer at the end of all redirects. Each goes through the transport, which looks at its address."""
        url = _parsed(self._url, self._name)
        for _ in range(_MOST_REDIRECTS + 1):
            with self._client.stream("GET", url, headers=headers | {"Accept-Encoding": "identity"}) as response:
                if not response.has_redirect_location:
                    yield response
                    return
                to = response.headers["Location"]
                try:
                    url = _parsed(str(url.join(to)), f"what {self._name} redirects to, {without_credentials(to)},")
                except httpx.InvalidURL:
                    raise DataError(
                        "DataUnreachable", f"{self._name} redirects to what is no URL: correct the URL"
                    ) from None
        raise DataError(
            "DataUnreachable", f"{self._name} redirects more than {_MOST_REDIRECTS} times: use the URL of the file"
        )

    def _must_be_content(self, response: httpx.Response) -> None:
        """Raise what an answer without the file means."""
        status = response.status_code
        if status in (httpx.codes.OK, httpx.codes.PARTIAL_CONTENT, httpx.codes.NOT_MODIFIED):
            return
        if status == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            self._part.unlink(missing_ok=True)
            raise _TryAgain("it has become shorter")
        if status >= 500 or status in (httpx.codes.TOO_MANY_REQUESTS, httpx.codes.REQUEST_TIMEOUT):
            after = response.headers.get("Retry-After", "")
            raise _TryAgain(f"HTTP {status}", float(after) if after.isdecimal() else None)
        if status in (401, 403, 407):
            raise DataError(
                "DataUnauthorized",
                f"{self._name} is refused (HTTP {status}): use a signed URL, or write the login into the URL",
            )
        if status in (404, 410):
            raise DataError("DataNotFound", f"there is nothing at {self._name} (HTTP {status}): correct the URL")
        raise DataError("DataUnreachable", f"{self._name} is answered with HTTP {status}: correct the URL")

    def _receive(self, response: httpx.Response, start: int, total: int | None) -> str:
        """Write the body behind the first `start` bytes; the sha256 of the whole file."""
        hasher = hashlib.sha256()
        if start:
            with self._part.open("rb") as there:
                while chunk := there.read(_CHUNK):
                    hasher.update(chunk)
        done = start
        with self._part.open("ab" if start else "wb") as out:
            for chunk in response.iter_raw():
                done += len(chunk)
                self._must_be_short(done)
                hasher.update(chunk)
                out.write(chunk)
                self._failures = 0
                self._tell.bytes(f"fetching {self._name}", done, total)
        return hasher.hexdigest()

    def _must_be_short(self, size: int) -> None:
        if size > self._most:
            self._part.unlink(missing_ok=True)
            raise DataError(
                "DataTooLarge",
                f"{self._name} is larger than {human(self._most)} ({self._most} bytes): split it, or raise "
                "tuning.input.maxGib",
            )

    def _must_have_checksum(self, sha256: str) -> None:
        if self._sha256 not in (None, sha256):
            self._part.unlink(missing_ok=True)
            raise DataError(
                "DataChecksumMismatch",
                f"{self._name} has the sha256 {sha256}, not {self._sha256}: it has changed or was damaged on its way; "
                "if the change is meant, correct tuning.input.sha256",
            )

    def _known(self) -> _Record:
        """What an earlier attempt has written, nothing where that is not to be read."""
        try:
            return _Record(**json.loads(self._record.read_text()))
        except (OSError, ValueError, TypeError):
            return _Record()

    def _may_pass(self, error: BaseException) -> bool:
        """Whether another attempt may succeed; counts those in a row without a byte."""
        passing = isinstance(error, (httpx.TransportError, _TryAgain))
        self._failures += passing
        return passing

    def _is_hopeless(self, _state: RetryCallState) -> bool:
        return self._failures > len(SECONDS_BEFORE_NEXT)

    def _pause(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = error.after if isinstance(error, _TryAgain) and error.after is not None else 0.0
        if self._failures > len(SECONDS_BEFORE_NEXT):
            return 0.0  # tenacity asks before it asks whether to stop
        pause = max(SECONDS_BEFORE_NEXT[self._failures - 1], min(asked, _LONGEST_WAIT))
        self._tell.now(f"{self._name}: {str(error) or type(error).__name__}, another attempt in {pause:.1f} s")
        return pause


def _conditions(known: _Record, complete: bool, start: int) -> dict[str, str]:
    """Headers that ask for a file only if it is another than that one, or only for what is missing of it."""
    if complete:
        headers = {"If-None-Match": known.etag, "If-Modified-Since": known.modified}
        return {name: value for name, value in headers.items() if value}
    # RFC 9110, 13.1.5: a weak validator does not tell byte for byte.
    strong = known.etag if known.etag and not known.etag.startswith("W/") else known.modified
    return {"Range": f"bytes={start}-", "If-Range": strong} if start and strong else {}


def _told_by(response: httpx.Response) -> _Record:
    """What headers say; the size is that of the body."""
    length = response.headers.get("Content-Length", "")
    return _Record(
        etag=response.headers.get("ETag"),
        modified=response.headers.get("Last-Modified"),
        size=int(length) if length.isdecimal() else None,
    )


def _start_of(response: httpx.Response) -> int | None:
    where = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return int(where[1]) if where else None


def _parsed(url: str, what: str) -> httpx.URL:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise DataError("DataRefused", f"{what} is no URL ({error}): correct it") from None
    if parsed.scheme not in SCHEMES or not parsed.host:
        raise DataError(
            "DataRefused", f"{what} is no http or https URL, and nothing else is fetched: put the file on a web server"
        )
    return parsed


def _base(url: str) -> str:
    """A file name that keeps the ending, whatever the URL has in its path."""
    name = PurePosixPath(without_credentials(url).removesuffix("?...")).name
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name)[-80:].lstrip(".") or "data"


def _unlike(others: list[str], name: str) -> str:
    """The name, with a number where another URL differs in its query alone."""
    same = sum(other == name or other.startswith(f"{name} (") for other in others)
    return f"{name} ({same + 1})" if same else name
