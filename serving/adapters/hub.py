"""hf: sources: the two files of a repository on the hub."""

from __future__ import annotations

import shutil
from pathlib import Path

from huggingface_hub import HfApi, RepoFile, hf_hub_download
from huggingface_hub import errors as hub_errors
from huggingface_hub.utils import httpx

from presets.weights_source import WeightsSource
from serving.adapters import archive
from serving.weights.hub import explained
from serving.weights.hub_progress import bar_that_reports
from serving.weights.model import Report

_UNREACHABLE = (httpx.TransportError, hub_errors.OfflineModeIsEnabled)


def commit_of(source: WeightsSource) -> str:
    """The commit that the revision names now; offline, the one fetched last. Raises WeightsError."""
    with explained(source):
        return HfApi().resolve_revision(source.target, revision=source.version).resolved


def download(source: WeightsSource, commit: str, into: Path, report: Report) -> None:
    """Copy the two files from the hub's cache, where they are fetched to. Raises AdapterError and WeightsError."""
    with explained(source):
        _must_have_both(source, commit)
        for name in archive.FILES:
            bar = bar_that_reports(report, f"fetching {source}")
            shutil.copyfile(hf_hub_download(source.target, name, revision=commit, tqdm_class=bar), into / name)


def _must_have_both(source: WeightsSource, commit: str) -> None:
    """Refuse by the list of files before anything is fetched; where the hub is away, its cache has to have them."""
    try:
        tree = HfApi().list_repo_tree(source.target, revision=commit)
        sizes = {file.path: file.size for file in tree if isinstance(file, RepoFile)}
    except _UNREACHABLE:
        return
    archive.must_be_usable(str(source), sizes)
