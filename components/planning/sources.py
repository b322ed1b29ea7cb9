"""Where adapters and training data come from and go to: images, URLs and volumes. One set of rules for the stack
config and for KAITO's manifests; they are KAITO's (api/v1beta1/workspace_validation.go), which checks adapters only
when a Workspace is updated."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Sequence
from urllib.parse import SplitResult, urlsplit

from components.planning.config import AdapterSpec, DataDestination, DataSource, ResourceSpec, TuningSpec
from components.planning.errors import Problem
from components.planning.kaito.training_config import section_problems
from components.planning.place import Place, shown

MAX_ADAPTERS = 10
"""KAITO's limit for one Workspace."""

# The grammar of github.com/distribution/reference, regexp.go.
_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*|\[[0-9A-Fa-f:]+\])"
_PATH = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*"
_TAG = r"(?::\w[\w.-]{0,127})?"
_DIGEST = r"(?:@[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9A-Fa-f]{32,})?"
_NAMED_IMAGE = re.compile(f"{_PATH}{_TAG}{_DIGEST}", re.ASCII)
_HOSTED_IMAGE = re.compile(rf"{_HOST}(?::\d+)?/{_PATH}{_TAG}{_DIGEST}", re.ASCII)
_IMAGE_ID = re.compile(r"[0-9a-f]{64}")
_MAX_REPOSITORY = 255
_PLACEHOLDER = re.compile(r"_HERE\b|[<>]|\bYOUR_")

# DNS-1123 subdomain, as in k8s.io/apimachinery.
_SUBDOMAIN = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*")
_MAX_SUBDOMAIN = 253

_METADATA_HOSTS = ("metadata.google.internal", "metadata.google", "instance-data.ec2.internal")
# Private in the sense of RFC 1918 and RFC 4193.
_PRIVATE = tuple(map(ipaddress.ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")))


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
    return _one_of({"image": source.image, "volumeSource": source.volume_source}, place) + _image_problems(
        source.image, place
    )


def tuning_problems(tuning: TuningSpec, place: Place) -> list[Problem]:
    """What is wrong with a tuning, whose fields stand at `place`."""
    return [
        *section_problems(tuning.config, method=tuning.method, place=place.at("config")),
        *input_problems(tuning.input, place.at("input")),
        *output_problems(tuning.output, place.at("output")),
    ]


def tuning_resource_problems(resource: ResourceSpec, place: Place) -> list[Problem]:
    """What a tuning may not ask of its nodes. `place` is where the workspace's resource stands."""
    problems: list[Problem] = []
    if resource.count is not None and resource.count > 1:
        problems.append(
            place.at("count").problem(
                found=f"{resource.count} nodes",
                allowed="1: tuning does not run on several nodes, here as in KAITO",
                do="write 1, and choose a node size with more GPUs if it has to be faster",
            )
        )
    if resource.partition is not None:
        problems.append(
            place.at("partition").problem(
                found=f"partition, mode {resource.partition.mode}",
                allowed="whole GPUs: partitions are for inference only, here as in KAITO",
                do="remove partition",
            )
        )
    return problems


def input_problems(source: DataSource, place: Place) -> list[Problem]:
    """What is wrong with the training data's source."""
    problems = _one_of({"urls": source.urls, "image": source.image, "volumeSource": source.volume_source}, place)
    for index, url in enumerate(source.urls or []):
        problems += _url_problems(url, place.at("urls", index))
    return problems + _image_problems(source.image, place)


def output_problems(destination: DataDestination, place: Place) -> list[Problem]:
    """What is wrong with the place that the adapter goes to."""
    problems = _one_of({"image": destination.image, "volumeSource": destination.volume_source}, place)
    problems += _image_problems(destination.image, place)
    if destination.image and not destination.image_push_secret:
        problems.append(
            place.at("imagePushSecret").problem(
                found="nothing",
                allowed="the name of a Secret with the registry's credentials, required with image",
                do="add imagePushSecret:, a Secret of type kubernetes.io/dockerconfigjson",
            )
        )
    return problems


def _one_of(fields: dict[str, object], place: Place) -> list[Problem]:
    """An empty text or list counts as absent, as in Go."""
    given = [name for name, value in fields.items() if value]
    if len(given) == 1:
        return []
    names = list(fields)
    allowed = f"exactly one of {', '.join(names[:-1])} and {names[-1]}"
    if given:
        return [place.problem(found=" and ".join(given), allowed=allowed, do=f"keep {given[0]}, remove the other")]
    empty = [name for name, value in fields.items() if value is not None]
    found = f"{empty[0]} without a value" if empty else f"neither {' nor '.join(names)}"
    return [place.problem(found=found, allowed=allowed, do=f"add {names[0]}:")]


def _image_problems(image: str | None, place: Place) -> list[Problem]:
    if not image or _is_image(image):
        return []
    return [
        place.at("image").problem(
            found=shown(image),
            allowed="an image reference: registry/repository:tag, the repository in lower case",
            do=_image_hint(image),
        )
    ]


def _is_image(image: str) -> bool:
    first, slash, _ = image.partition("/")
    # As docker does: the first part is a registry if it looks like a host, and otherwise part of the repository's name.
    hosted = bool(slash) and (any(sign in first for sign in ".:") or first == "localhost" or first != first.lower())
    grammar = _HOSTED_IMAGE if hosted else _NAMED_IMAGE
    if grammar.fullmatch(image) is None or _IMAGE_ID.fullmatch(image):
        return False
    return len(image.partition("@")[0]) <= _MAX_REPOSITORY


def _image_hint(image: str) -> str:
    plain = re.sub(r"^\w+://", "", image.strip())
    first, slash, rest = plain.partition("/")
    lower = first + slash + rest.lower()
    if _PLACEHOLDER.search(image):
        return "this is a placeholder: put your own registry, repository and tag in its place"
    for suggestion in (plain, lower):
        if suggestion != image and _is_image(suggestion):
            return f"write {suggestion}"
    return "write it as docker pull takes it, such as myregistry.azurecr.io/phi-3-adapter:0.0.1"


def _url_problems(url: str, place: Place) -> list[Problem]:
    parts = _split(url)
    if parts is None or not parts.hostname:
        what = "something that is no URL" if parts is None or not parts.scheme else "a URL without a host"
        allowed = "a complete http or https URL"
        return [place.problem(found=what, allowed=allowed, do="write https://HOST/PATH")]
    # User, password and query stay out of what is printed: signed URLs carry their key there.
    found = f"{parts.scheme}://{parts.hostname}{parts.path}"
    if parts.scheme not in ("http", "https"):
        return [place.problem(found=found, allowed="http or https", do=_scheme_hint(parts))]
    host = parts.hostname.rstrip(".")
    if host == "localhost" or host.endswith(".localhost") or host in _METADATA_HOSTS or _is_local_address(host):
        return [
            place.problem(
                found=found,
                allowed="a host outside: no localhost, no metadata service, no private, loopback or link-local address",
                do="put the data where the cluster reaches it by a public name, or mount it as volumeSource",
            )
        ]
    return []


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return None if url != url.strip() or " " in url else parts


def _scheme_hint(parts: SplitResult) -> str:
    if parts.scheme in ("s3", "gs", "abfs", "abfss", "az", "wasbs"):
        return "write the https URL of the object, signed if it is not public"
    return "write its http or https URL"


def _is_local_address(host: str) -> bool:
    address = _address(host.partition("%")[0])
    if address is None:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    link_local_multicast = address in ipaddress.ip_network("224.0.0.0/24" if address.version == 4 else "ff02::/16")
    private = any(address in network for network in _PRIVATE if network.version == address.version)
    return address.is_loopback or address.is_link_local or address.is_unspecified or link_local_multicast or private


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        pass
    try:
        # The short and the whole-number forms, such as 127.1 and 2130706433, which curl resolves as well.
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except (OSError, UnicodeEncodeError):
        return None
