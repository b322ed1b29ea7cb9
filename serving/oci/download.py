"""A blob on its way into a file: it goes on where it broke off, and what it is at the end is what its digest says."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import requests

from serving.oci.client import RegistryClient, may_pass
from serving.weights.model import SECONDS_BETWEEN_REPORTS

Told = Callable[[int], None]
"""Gets the bytes that are there, about once a second and at the end."""

_ATTEMPTS = 5
"""In a row without a byte, after which a registry is given up."""
_SECONDS_BEFORE_NEXT = (0.2, 1.0, 4.0, 10.0)
_CHUNK = 2**20


class NotAsTold(Exception):
    """The bytes are others than size and digest say; `done` of them came."""

    def __init__(self, done: int) -> None:
        super().__init__(done)
        self.done = done


def hasher(digest: str) -> hashlib._Hash | None:
    """For ALGORITHM:HEX; None for an algorithm that is neither sha256 nor sha512."""
    algorithm = digest.partition(":")[0].lower()
    return hashlib.new(algorithm) if algorithm in ("sha256", "sha512") else None


class Download:
    """One blob and its file, which may hold its beginning already."""

    def __init__(self, client: RegistryClient, digest: str, size: int, file: Path, told: Told) -> None:
        self._client = client
        self._digest = digest.lower()
        self._size = size
        self._file = file
        self._told = told
        self._done = 0
        self._hasher = self._new_hasher()
        self._told_at = 0.0

    def run(self) -> None:
        """Raises NotAsTold and requests' errors. A file that is not as told is emptied."""
        resumed = self._take_up()
        self._fetch()
        if resumed and not self._is_right():
            # What an earlier process has left may be what is wrong.
            self._begin_again()
            self._fetch()
        if not self._is_right():
            self._file.write_bytes(b"")
            raise NotAsTold(self._done)
        self._told(self._done)

    def _fetch(self) -> None:
        """All that is missing, however often the line breaks, as long as something comes each time."""
        failures = 0
        while self._done < self._size:
            before = self._done
            try:
                self._append()
            except requests.RequestException as error:
                failures = 1 if self._done > before else failures + 1
                if not may_pass(error) or failures == _ATTEMPTS:
                    raise
                time.sleep(_SECONDS_BEFORE_NEXT[failures - 1])
            else:
                return
        if not self._size:
            self._file.touch()

    def _append(self) -> None:
        with self._client.blob(self._digest, self._done) as response:
            if self._done and not self._continues(response):
                self._begin_again()
            with self._file.open("ab") as out:
                self._write(response, out)

    def _write(self, response: requests.Response, out: BinaryIO) -> None:
        for chunk in response.iter_content(_CHUNK):
            if self._done + len(chunk) > self._size:
                self._done += len(chunk)
                return
            self._hasher.update(chunk)
            out.write(chunk)
            self._done += len(chunk)
            if (now := time.monotonic()) - self._told_at > SECONDS_BETWEEN_REPORTS:
                self._told_at = now
                self._told(self._done)

    def _continues(self, response: requests.Response) -> bool:
        """Whether an answer begins where the file ends."""
        where = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
        return response.status_code == requests.codes.partial and where is not None and int(where[1]) == self._done

    def _take_up(self) -> bool:
        """Go on from what is there; whether that is anything."""
        self._begin_again_if_too_long()
        if not self._file.exists():
            return False
        with self._file.open("rb") as there:
            while chunk := there.read(_CHUNK):
                self._hasher.update(chunk)
                self._done += len(chunk)
        return self._done > 0

    def _begin_again_if_too_long(self) -> None:
        if self._file.exists() and self._file.stat().st_size > self._size:
            self._begin_again()

    def _begin_again(self) -> None:
        self._file.write_bytes(b"")
        self._done = 0
        self._hasher = self._new_hasher()

    def _is_right(self) -> bool:
        return self._done == self._size and f"{self._hasher.name}:{self._hasher.hexdigest()}" == self._digest

    def _new_hasher(self) -> hashlib._Hash:
        made = hasher(self._digest)
        assert made is not None, "image.py has looked"
        return made
