"""The programs of a test cluster: a control plane, KWOK, Karpenter and KubeRay, with the kinds that they bring."""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from toolchain import official, program_cache
from toolchain.console import Console
from toolchain.errors import ToolchainError
from toolchain.layout import Layout
from toolchain.program_sets import BIN, CLUSTER, CRDS


@dataclass(frozen=True, kw_only=True)
class ClusterPrograms:
    """Where they are."""

    bin: Path
    crds: Path
    """YAML files of Karpenter's and KubeRay's kinds."""
    origin: str


def find(layout: Layout) -> ClusterPrograms | None:
    """What the cache holds."""
    home = program_cache.folder(layout, CLUSTER)
    origin = program_cache.origin(home, CLUSTER)
    return None if origin is None else ClusterPrograms(bin=home / BIN, crds=home / CRDS, origin=origin)


def provide(
    layout: Layout,
    environ: Mapping[str, str],
    console: Console,
    releases: Sequence[official.Release] | None = None,
) -> ClusterPrograms:
    """From the cache, from official releases where there are any, and built from source. Raises ToolchainError."""
    if platform.system() != "Linux":
        raise ToolchainError(f"a test cluster runs on Linux only, and this is {platform.system()}", CLUSTER.otherwise)
    releases = official.cluster() if releases is None else releases
    home, origin = program_cache.obtain(layout, CLUSTER, releases, environ, console)
    return ClusterPrograms(bin=home / BIN, crds=home / CRDS, origin=origin)
