"""Finds Pulumi's Kubernetes provider, or gets it: targets kubernetes and aks need it, target local does not."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from toolchain import official, program_cache, versions
from toolchain.console import Console
from toolchain.layout import Layout
from toolchain.program_sets import BIN, KUBERNETES

PROGRAM = "pulumi-resource-kubernetes"
PLUGIN = f"resource-kubernetes-v{versions.PULUMI_KUBERNETES}"
"""The folder that `pulumi plugin install` makes for it."""


@dataclass(frozen=True, kw_only=True)
class KubernetesProvider:
    """A provider that Pulumi's engine finds once its folder is on PATH."""

    folder: Path
    origin: str
    """How it came to this machine, in words."""


def find(layout: Layout, environ: Mapping[str, str]) -> KubernetesProvider | None:
    """The provider of this machine: on PATH, among Pulumi's plugins, or in the cache. Nothing is made."""
    cached = program_cache.folder(layout, KUBERNETES) / BIN
    folders = [part for part in environ.get("PATH", "").split(os.pathsep) if part and Path(part) != cached]
    if (found := shutil.which(PROGRAM, path=os.pathsep.join(folders))) is not None:
        return KubernetesProvider(folder=Path(found).parent, origin=f"on PATH, {found}")
    for plugins in _plugin_folders(environ):
        # Pulumi removes the .partial file when a plugin is installed whole.
        if os.access(plugins / PLUGIN / PROGRAM, os.X_OK) and not (plugins / f"{PLUGIN}.partial").exists():
            return KubernetesProvider(folder=plugins / PLUGIN, origin=f"a plugin of yours, {plugins / PLUGIN}")
    origin = program_cache.origin(cached.parent, KUBERNETES)
    if origin is None:
        return None
    return KubernetesProvider(folder=cached, origin=f"{versions.PULUMI_KUBERNETES} from the cache, {origin}")


def provide(
    layout: Layout, environ: Mapping[str, str], console: Console, release: official.Release | None = None
) -> KubernetesProvider:
    """What `find` finds, or else the official release, or a build from source. Raises ToolchainError."""
    found = find(layout, environ)
    if found is not None:
        return found
    release = release or official.kubernetes_provider()
    home, origin = program_cache.obtain(layout, KUBERNETES, [release], environ, console)
    return KubernetesProvider(folder=home / BIN, origin=f"{versions.PULUMI_KUBERNETES} from the cache, {origin}")


def _plugin_folders(environ: Mapping[str, str]) -> list[Path]:
    own = environ.get("PULUMI_HOME")
    home = environ.get("HOME") or str(Path.home())
    return [Path(folder) / "plugins" for folder in (own, os.path.join(home, ".pulumi")) if folder]
