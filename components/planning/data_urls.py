"""URLs that training data may come from: http and https, of a host outside.

The rules are KAITO's (api/v1beta1/workspace_validation.go). No network is asked: a name is judged by its letters, not
by the address that it resolves to.
"""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import SplitResult, urlsplit

from components.planning.errors import Problem
from components.planning.place import Place

_METADATA_HOSTS = ("metadata.google.internal", "metadata.google", "instance-data.ec2.internal")
# Private in the sense of RFC 1918 and RFC 4193.
_PRIVATE = tuple(map(ipaddress.ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")))


def url_problems(url: str, place: Place) -> list[Problem]:
    """What is wrong with a URL that data is fetched from, which stands at `place`."""
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
