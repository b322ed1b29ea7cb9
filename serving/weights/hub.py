"""hf: sources. huggingface_hub fetches into its own cache; ours keeps a manifest of what it fetched."""

from __future__ import annotations

import glob
import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from importlib.metadata import version
from pathlib import Path

from huggingface_hub import HfApi, RepoFile, constants, get_cached_repo_tree, hf_hub_download, snapshot_download
from huggingface_hub import errors as hub_errors
from huggingface_hub.utils import httpx

from presets.weights_source import WeightsSource
from serving.weights import checkpoint, gguf, manifest, remote_code, space
from serving.weights.cache import Entry
from serving.weights.errors import WeightsError
from serving.weights.hub_progress import bar_that_reports
from serving.weights.manifest import FileRecord, Manifest
from serving.weights.model import Progress, Report, ResolvedWeights

_UNREACHABLE = (httpx.TransportError, hub_errors.OfflineModeIsEnabled)


def resolve(source: WeightsSource, cache: Path, report: Report, *, trust_remote_code: bool) -> ResolvedWeights:
    """Fetch the files that serving needs, at the commit that the revision names now; offline, the one fetched last.

    HF_TOKEN, HF_ENDPOINT, HF_HOME, HF_HUB_CACHE and HF_HUB_OFFLINE mean what they mean to huggingface_hub.
    Raises WeightsError: WeightsNotFound, Unauthorized, DownloadFailed, PickleRefused, RemoteCodeRefused,
    WeightsCorrupt, NoSpace, and what conversion raises.
    """
    with explained(source):
        commit = HfApi().resolve_revision(source.target, revision=source.version).resolved
    fetch = _Fetch(source, commit, report, trust_remote_code=trust_remote_code)
    key = f"hf:{source.target}@{commit}{' with code' if trust_remote_code else ''}"

    def build(making: Path) -> Manifest:
        with explained(source):
            return fetch.into(making)

    return Entry(cache, "hf", f"{source.target}-{source.version or 'main'}", key).get_or_make(build, report)


class _Fetch:
    """One repository at one commit."""

    def __init__(self, source: WeightsSource, commit: str, report: Report, *, trust_remote_code: bool) -> None:
        self._source = source
        self._commit = commit
        self._report = report
        self._trust = trust_remote_code

    def into(self, making: Path) -> Manifest:
        """Fill an entry of the cache: a manifest alone, or what the repository's one GGUF file is converted to."""
        name = str(self._source)
        root = self._downloaded()
        if (ggufs := checkpoint.gguf_files(root)) and not checkpoint.has_safetensors(root):
            found = checkpoint.the_one(ggufs, name)
            self._as_published(root, self._record({}, root, [found.name]))
            created_by = gguf.convert(found, making, name, self._report)
            converted = checkpoint.inspect(making, name)
            return manifest.record(name, created_by, making, converted.names, report=self._report)
        remote_code.refuse(root, name, trusted=self._trust)
        names = checkpoint.inspect(root, name).names
        code = [path.name for path in root.glob("*.py")] if self._trust else []
        created_by = {"huggingface_hub": version("huggingface_hub"), "commit": self._commit}
        return self._as_published(root, self._record(created_by, root, [*names, *code]))

    def _record(self, created_by: dict[str, str], root: Path, names: list[str]) -> Manifest:
        return manifest.record(str(self._source), created_by, root, names, elsewhere=True, report=self._report)

    def _downloaded(self) -> Path:
        """The snapshot, small files first: they tell which weights are needed, and whether they are wanted at all."""
        small = [*checkpoint.SIDE_FILES, *(["*.py"] if self._trust else [])]
        listing = self._listing()
        if listing is None:
            return self._snapshot([*small, "*.safetensors", "*.gguf"], offline=True)
        self._report(Progress(message=f"fetching {self._source} (commit {self._commit[:12]})"))
        root = self._snapshot([name for name in listing if any(_matches(name, pattern) for pattern in small)])
        if (root / "config.json").exists():
            remote_code.refuse(root, str(self._source), trusted=self._trust)
        weights = checkpoint.weights_among(set(listing), root, str(self._source))
        need = sum(listing[name].size for name in weights if name in listing and not (root / name).exists())
        hub_cache = Path(constants.HF_HUB_CACHE)
        space.require(hub_cache, need, f"downloading {self._source}", settings="HF_HUB_CACHE")
        with space.told(hub_cache, f"downloading {self._source}", settings="HF_HUB_CACHE"):
            return self._snapshot(weights)

    def _snapshot(self, names: list[str], *, offline: bool = False) -> Path:
        patterns = names if offline else [glob.escape(name) for name in names]
        bar = bar_that_reports(self._report, f"downloading {self._source.target}")
        return Path(
            snapshot_download(
                self._source.target,
                revision=self._commit,
                allow_patterns=patterns,
                tqdm_class=bar,
                local_files_only=offline,
            )
        )

    def _listing(self) -> dict[str, RepoFile] | None:
        """The repository's files, None if neither the hub nor its cache can tell."""
        try:
            files = get_cached_repo_tree(self._source.target, revision=self._commit)
        except hub_errors.CachedRepoTreeNotFoundError:
            try:
                tree = HfApi().list_repo_tree(self._source.target, revision=self._commit, recursive=True)
                files = [file for file in tree if isinstance(file, RepoFile)]
            except _UNREACHABLE:
                return None
        return {file.path: file for file in files}

    def _as_published(self, root: Path, found: Manifest) -> Manifest:
        """The record of what the hub published: files that the hub's cache has damaged are fetched again, once."""
        damaged = [file.name for file in found.files if not _is_as_published(root, file)]
        if not damaged:
            return found
        self._report(Progress(message=f"{', '.join(damaged)} is damaged in the hub's cache: fetching it again"))
        for name in damaged:
            hf_hub_download(self._source.target, name, revision=self._commit, force_download=True)
        again = self._record(found.created_by, root, [file.name for file in found.files])
        if damaged := [file.name for file in again.files if not _is_as_published(root, file)]:
            raise WeightsError(
                "WeightsCorrupt",
                f"{self._source}: {damaged[0]} has another checksum than the hub says, twice: the hub is bad",
            )
        return again


def _is_as_published(root: Path, file: FileRecord) -> bool:
    """Whether the content is what the hub's etag says, which the hub's cache keeps as the name of the link's target.

    sha256 for large files, git's sha1 for the others; True where the cache has no links or the etag is neither.
    """
    path = root / file.name
    etag = path.readlink().name if path.is_symlink() else ""
    if re.fullmatch(r"[0-9a-f]{64}", etag):
        return file.sha256 == etag
    if re.fullmatch(r"[0-9a-f]{40}", etag):
        blob = b"blob %d\0" % file.bytes + path.read_bytes()
        return hashlib.sha1(blob, usedforsecurity=False).hexdigest() == etag
    return True


def _matches(name: str, pattern: str) -> bool:
    """Like a glob: `*` does not reach into folders, which hold the same weights in other formats."""
    return name.count("/") == pattern.count("/") and fnmatch(name, pattern)


@contextmanager
def explained(source: WeightsSource) -> Iterator[None]:
    """Turn the hub's errors into ours, each with its way out."""
    where = constants.ENDPOINT
    try:
        yield
    except hub_errors.GatedRepoError as error:
        raise WeightsError(
            "Unauthorized",
            f"{source} is gated: accept its licence at {where}/{source.target}, then set HF_TOKEN to a token of the "
            "account that did",
        ) from error
    except hub_errors.RevisionNotFoundError as error:
        raise WeightsError(
            "WeightsNotFound", f"{source}: {where}/{source.target} has no revision {source.version}: correct it"
        ) from error
    except hub_errors.RepositoryNotFoundError as error:
        raise WeightsError(
            "WeightsNotFound",
            f"{source}: {where} has no such repository, or it is private: correct the name, or set HF_TOKEN to a token "
            "that may read it",
        ) from error
    except (hub_errors.RevisionResolutionError, hub_errors.LocalEntryNotFoundError, *_UNREACHABLE) as error:
        raise _not_reached(source, error) from error
    except hub_errors.HfHubHTTPError as error:
        status = error.response.status_code
        if status in (401, 403):
            raise WeightsError(
                "Unauthorized",
                f"{source}: {where} refuses the token (HTTP {status}): set HF_TOKEN to one that may read it",
            ) from error
        raise WeightsError("DownloadFailed", f"{source}: {where} answered HTTP {status}: try again later") from error


def _not_reached(source: WeightsSource, error: Exception) -> WeightsError:
    cache = constants.HF_HUB_CACHE
    if constants.HF_HUB_OFFLINE:
        return WeightsError(
            "DownloadFailed",
            f"{source} is not complete in the hub's cache {cache} and HF_HUB_OFFLINE is set: fetch it once online, or "
            "unset HF_HUB_OFFLINE",
        )
    return WeightsError(
        "DownloadFailed",
        f"{source}: {constants.ENDPOINT} cannot be reached and the hub's cache {cache} lacks files ({error}): "
        "check the network, HF_ENDPOINT and the proxy settings",
    )
