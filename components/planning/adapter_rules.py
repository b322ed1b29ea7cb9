"""Rules for the adapters of a workspace: one set for the stack config and for KAITO's manifests.

They are KAITO's (api/v1beta1/workspace_validation.go), which checks adapters only when a Workspace is updated. Its
limit of 10 is not among them: the memory that the plan counts is the limit here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from components.planning.config import AdapterDataSource, AdapterSpec
from components.planning.errors import Problem
from components.planning.image_reference import image_problems
from components.planning.one_of import one_of_problems
from components.planning.place import Place, shown
from components.planning.tuned_adapters import tuned_source
from presets.adapter_source import parse_adapter_source

# DNS-1123 subdomain, as in k8s.io/apimachinery.
_SUBDOMAIN = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*")
_MAX_SUBDOMAIN = 253


def adapter_problems(adapters: Sequence[AdapterSpec], place: Place) -> list[Problem]:
    """What is wrong with the adapters of one workspace. `place` is where their list stands, in inference."""
    problems: list[Problem] = []
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


def _adapter_source_problems(source: AdapterDataSource, place: Place) -> list[Problem]:
    if source.urls:
        return [
            place.at("urls").problem(
                found="urls",
                allowed="image, volumeSource or uri: URLs are not supported as adapter source",
                do="push the adapter to a registry and name its image, or mount its folder as volumeSource",
            )
        ]
    places = {
        "image": source.image,
        "volumeSource": source.volume_source,
        "uri": source.uri,
        "tuning": source.tuning,
    }
    problems = one_of_problems(places, place) + image_problems(source.image, place)
    if source.version and not source.tuning:
        do = "remove it, or name the workspace that makes the adapter as tuning:"
        allowed = "nothing: only an adapter that a tuning of this stack makes has versions"
        problems.append(place.at("version").problem(found=shown(source.version), allowed=allowed, do=do))
    return problems + _uri_problems(source.uri, place)


def _uri_problems(uri: str | None, place: Place) -> list[Problem]:
    if not uri:
        return []
    try:
        parse_adapter_source(uri)
    except ValueError as wrong:
        do = "write it so, or name an image or a volumeSource in its place"
        return [place.at("uri").problem(found=shown(uri), allowed=str(wrong), do=do)]
    return []


def adapter_source(source: AdapterDataSource) -> str | None:
    """The source of an adapter that has passed the rules, in the grammar of presets.adapter_source; who makes it, where
    that is a tuning of the stack; None for a volume that is no directory of the machine, which a cluster has to mount
    first."""
    if tuned := tuned_source(source):
        return tuned
    if source.uri:
        return str(parse_adapter_source(source.uri))
    if source.image:
        return str(parse_adapter_source(f"oci:{source.image}"))
    return host_directory(source.volume_source or {})


def host_directory(volume: Mapping[str, Any]) -> str | None:
    """The source that a hostPath volume is, None for another volume and for a path that is no absolute one."""
    host = volume.get("hostPath")
    path = cast("Mapping[str, object]", host).get("path") if isinstance(host, Mapping) else None
    try:
        return str(parse_adapter_source(f"file:{path}"))
    except ValueError:
        return None
