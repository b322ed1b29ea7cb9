"""URLs that training data may come from: http and https, of a host outside.

The rules are KAITO's (api/v1beta1/workspace_validation.go), and stricter: what no public name service knows, and what
is not globally reachable, is no host outside. No network is asked: a name is judged by its letters, not by the address
that it resolves to.
"""

from __future__ import annotations

import ipaddress
import socket
import unicodedata
from collections.abc import Collection
from urllib.parse import SplitResult, unquote, urlsplit

from components.planning.errors import Problem
from components.planning.place import Place

_INSIDE = ("localhost", "local", "internal", "svc", "metadata.google")
"""Names, and what names end with, that mean a machine, a cluster or a cloud from within."""

_PLATFORM = frozenset({"168.63.129.16"})
"""Public by its number, and answered by Azure's platform inside every virtual network."""

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_COMPATIBLE = ipaddress.IPv6Network("::/96")
"""Addresses that end with an IPv4 address; RFC 6052, and RFC 4291, section 2.5.5.1."""


def url_problems(url: str, place: Place, allowed_hosts: Collection[str] = ()) -> list[Problem]:
    """What is wrong with a URL that data is fetched from, which stands at `place`. allowed_hosts: hosts that may be
    inside, because the stack says so."""
    parts = _split(url)
    if parts is None or not parts.hostname:
        what = "something that is no URL" if parts is None or not parts.scheme else "a URL without a host"
        allowed = "a complete http or https URL"
        return [place.problem(found=what, allowed=allowed, do="write https://HOST/PATH")]
    # User, password and query stay out of what is printed: signed URLs carry their key there.
    found = f"{parts.scheme}://{parts.hostname}{parts.path}"
    if parts.scheme not in ("http", "https"):
        return [place.problem(found=found, allowed="http or https", do=_scheme_hint(parts))]
    host = _as_clients_read(parts.hostname)
    if host not in allowed_hosts and _is_inside(host):
        return [
            place.problem(
                found=found,
                allowed="a host outside: no localhost, no metadata service, no private, loopback or link-local address",
                do="put the data where the cluster reaches it by a public name, mount it as volumeSource, or name the "
                "host in tuning.input.allowedHosts",
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


def _as_clients_read(host: str) -> str:
    """Percent-encoded letters and full-width digits mean the plain ones, an ideographic full stop is a dot, and what
    cannot be seen, such as a soft hyphen, is left out (UTS 46)."""
    plain = unicodedata.normalize("NFKC", unquote(host)).replace("\u3002", ".").lower()
    return "".join(each for each in plain if unicodedata.category(each) != "Cf").rstrip(".")


def _is_inside(host: str) -> bool:
    address = _address(host.strip("[]").partition("%")[0])
    if address is not None:
        address = _plain(address)
        return str(address) in _PLATFORM or not address.is_global or address.is_multicast
    return "." not in host or any(host == name or host.endswith(f".{name}") for name in _INSIDE)


def _plain(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The IPv4 address within an IPv6 address, where it has one."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64 or address in _COMPATIBLE:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.sixtofour or address


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
