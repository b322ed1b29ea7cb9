"""As much of the hub's HTTP API as huggingface_hub needs to list and fetch a repository, on loopback."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tests.loopback_server import LoopbackHandler, LoopbackServer

COMMIT = "c0ffee" + "0" * 34
LARGE = (".safetensors", ".gguf", ".bin")


@dataclass
class Repository:
    """Files of one commit, on the branch main; `token`: what a request must bring, `gated`: how a refusal is worded;
    `about`: further fields of the hub's answer about the repository, such as cardData."""

    root: Path
    token: str | None = None
    gated: bool = False
    commit: str = COMMIT
    about: dict[str, object] = field(default_factory=dict)


@dataclass
class HubServer(LoopbackServer):
    """Serves `repositories`, by their names, data sets as datasets/ORG/NAME; `requests` are the paths asked for, in
    order."""

    repositories: dict[str, Repository] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)

    def handler(self) -> type[LoopbackHandler]:
        return _Handler

    @property
    def url(self) -> str:
        return f"http://{self.host}"


class _Handler(LoopbackHandler):
    state: HubServer

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def _answer(self, *, body: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        self.state.requests.append(f"{self.command} {path}")
        if api := re.fullmatch(r"/api/(?:models/)?((?:datasets/)?[^/]+/[^/]+)(?:/(revision|tree)/([^/]+))?", path):
            name, what, revision = api.groups()
            if (repository := self._repository(name, revision, download=False)) is not None:
                self._json(_listing(repository) if what == "tree" else _about(name, repository))
        elif file := re.fullmatch(r"/((?:datasets/)?[^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            name, revision, inner = file.groups()
            if (repository := self._repository(name, revision, download=True)) is not None:
                self._file(repository, repository.root / inner, body=body)
        else:
            self._refuse(404, "RepoNotFound")

    def _repository(self, name: str, revision: str | None, *, download: bool) -> Repository | None:
        repository = self.state.repositories.get(name)
        if repository is None:
            return self._refuse(404, "RepoNotFound")
        if revision not in (None, "main", repository.commit):
            return self._refuse(404, "RevisionNotFound")
        may = repository.token is None or self.headers.get("Authorization") == f"Bearer {repository.token}"
        if not may and repository.gated and download:
            return self._refuse(403 if self.headers.get("Authorization") else 401, "GatedRepo")
        if not may and not repository.gated:
            return self._refuse(401, "RepoNotFound")
        return repository

    def _refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _json(self, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _file(self, repository: Repository, path: Path, *, body: bool) -> None:
        if not path.is_file():
            return self._refuse(404, "EntryNotFound")
        data = path.read_bytes()
        self.send_response(200)
        self.send_header("X-Repo-Commit", repository.commit)
        self.send_header("ETag", f'"{_etag(path)}"')
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if body:
            self.wfile.write(data)
        return None


def _about(name: str, repository: Repository) -> dict[str, object]:
    """As the hub answers ?blobs=true: with the sizes of files."""
    files = [{"rfilename": entry["path"], "size": entry["size"]} for entry in _listing(repository)]
    gated = "manual" if repository.gated else False
    return {"id": name, "sha": repository.commit, "gated": gated, "siblings": files} | repository.about


def _listing(repository: Repository) -> list[dict[str, object]]:
    listed: list[dict[str, object]] = []
    for path in sorted(repository.root.rglob("*")):
        if path.is_file():
            size, name = path.stat().st_size, str(path.relative_to(repository.root))
            entry: dict[str, object] = {"type": "file", "path": name, "size": size, "oid": _git_sha1(path)}
            if name.endswith(LARGE):
                entry["lfs"] = {"oid": _etag(path), "size": size, "pointerSize": 130}
            listed.append(entry)
    return listed


def _etag(path: Path) -> str:
    """As the hub does: sha256 of large files, git's sha1 of the others."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.name.endswith(LARGE) else _git_sha1(path)


def _git_sha1(path: Path) -> str:
    data = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
