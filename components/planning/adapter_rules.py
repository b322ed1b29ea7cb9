"""Rules for the adapters of a workspace: one set for the stack config and for KAITO's manifests.

They are KAITO's (api/v1beta1/workspace_validation.go), which checks adapters only when a Workspace is updated.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from components.planning.config import AdapterSpec, DataSource
from components.planning.errors import Problem
from components.planning.image_reference import image_problems
from components.planning.one_of import one_of_problems
from components.planning.place import Place, shown

MAX_ADAPTERS = 10
"""KAITO's limit for one Workspace."""

# DNS-1123 subdomain, as in k8s.io/apimachinery.
_SUBDOMAIN = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*")
_MAX_SUBDOMAIN = 253


def adapter_problems(adapters: Sequence[AdapterSpec], place: Place) -> list[Problem]:
    """What is wrong with the adapters of one workspace. `place` is where their list stands, in inference."""
    problems: list[Problem] = []
    if len(adapters) > MAX_ADAPTERS:
        problems.append(
            place.problem(
                found=f"{len(adapters)} adapters",
                allowed=f"at most {MAX_ADAPTERS} in one workspace, as in KAITO",
                do="serve the others from a second workspace of the same preset",
            )
        )
    first: dict[str, int] = {}
    for index, adapter in enumerate(adapters):
        here = place.at(index, "source")
        problems += _name_problems(adapter.source.name or "", index, first, here)
        problems += _adapter_source_problems(adapter.source, here)
    return problems


def _name_problems(name: str, index: int, first: dict[str, int], source: Place) -> list[Problem]:
    here = source.at("name")
    if not name:
        do = "add name: to its source; requests name the adapter by it"
        return [here.problem(found="nothing", allowed="a name for each adapter", do=do)]
    if len(name) > _MAX_SUBDOMAIN or _SUBDOMAIN.fullmatch(name) is None:
        similar = re.sub(r"[^a-z0-9.-]+", "-", name.lower()).strip("-.")[:_MAX_SUBDOMAIN]
        return [
            here.problem(
                found=shown(name),
                allowed="lower-case letters, digits, - and ., a letter or digit at both ends, at most "
                f"{_MAX_SUBDOMAIN} characters (DNS-1123 subdomain)",
                do=f"call it {similar}" if _SUBDOMAIN.fullmatch(similar) else "choose a name such as my-adapter",
            )
        ]
    if name == source.workspace:
        do = f"call it {name}-adapter"
        allowed = "another name than the workspace's, which is that of its model without adapters"
        return [here.problem(found=shown(name), allowed=allowed, do=do)]
    if first.setdefault(name, index) != index:
        return [
            here.problem(
                found=f'"{name}", which is also the name of adapters[{first[name]}]',
                allowed="a name of its own for each adapter",
                do=f"rename one, for example {name}-2",
            )
        ]
    return []


def _adapter_source_problems(source: DataSource, place: Place) -> list[Problem]:
    if source.urls:
        return [
            place.at("urls").problem(
                found="urls",
                allowed="image or volumeSource: URLs are not supported as adapter source",
                do="push the adapter to a registry and name its image, or mount its folder as volumeSource",
            )
        ]
    return one_of_problems({"image": source.image, "volumeSource": source.volume_source}, place) + image_problems(
        source.image, place
    )
