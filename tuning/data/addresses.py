"""Which machines data may come from: none on a private network, unless its name is allowed.

A name is resolved once and the connection goes to the address that was looked at, so that a name which has another
address a moment later leads nowhere else.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.request import getproxies, proxy_bypass

import httpx

from tuning.data.errors import DataError

_METADATA = ip_address("168.63.129.16")
"""Azure's own, although it is a public address:
https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16"""
_NAT64 = IPv6Network("64:ff9b::/96")
"""IPv4 addresses in their last 32 bits, RFC 6052."""
_PORTS = {"http": 80, "https": 443}
SCHEMES = tuple(_PORTS)


class CheckedTransport(httpx.BaseTransport):
    """Raises DataError (DataRefused, DataUnreachable for a name that there is not) and httpx' errors.

    The proxies that the environment names are used, but for the allowed hosts, which are near. A proxy resolves names
    itself; what resolves here to a private address is refused all the same.
    """

    def __init__(self, allowed_hosts: Iterable[str]) -> None:
        self._allowed = {_normal(host) for host in allowed_hosts}
        # A kept connection would be found by its address, whatever name its certificate was checked against.
        self._limits = httpx.Limits(max_keepalive_connections=0)
        self._direct = httpx.HTTPTransport(limits=self._limits)
        self._proxies: dict[str, httpx.HTTPTransport] = {}

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        host = _normal(request.url.host)
        allowed = host in self._allowed
        proxy = None if allowed or proxy_bypass(host) else getproxies().get(request.url.scheme)
        addresses = _resolved(request.url, may_be_unknown=proxy is not None)
        if not allowed:
            _refuse_private(host, addresses)
        if proxy is not None:
            return self._through(proxy).handle_request(request)
        return self._to_one_of(addresses, request)

    def close(self) -> None:
        for transport in (self._direct, *self._proxies.values()):
            transport.close()

    def _to_one_of(self, addresses: list[str], request: httpx.Request) -> httpx.Response:
        for address in addresses[:-1]:
            try:
                return self._direct.handle_request(_sent_to(address, request))
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue
        return self._direct.handle_request(_sent_to(addresses[-1], request))

    def _through(self, proxy: str) -> httpx.HTTPTransport:
        if proxy not in self._proxies:
            self._proxies[proxy] = httpx.HTTPTransport(proxy=proxy, limits=self._limits)
        return self._proxies[proxy]


def is_public(address: str) -> bool:
    """Whether an address is one of the internet, however it is written.

    >>> [is_public(address) for address in ("1.1.1.1", "::ffff:10.0.0.1", "169.254.169.254", "64:ff9b::7f00:1")]
    [True, False, False, False]
    """
    inner = _inner(ip_address(address))
    return inner.is_global and not inner.is_multicast and inner != _METADATA


def _inner(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that an IPv6 address leads to, where it is a way of writing one."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo[1] if address.teredo else None
    return address.ipv4_mapped or address.sixtofour or teredo or address


def _refuse_private(host: str, addresses: list[str]) -> None:
    for address in addresses:
        if not is_public(address):
            what = "" if address == host else f" is {address}, which"
            raise DataError(
                "DataRefused",
                f"{host}{what} is no address of the internet, and data is not fetched from private, loopback or "
                f"metadata addresses: if it is meant, add {host} to tuning.input.allowedHosts",
            )


def _resolved(url: httpx.URL, *, may_be_unknown: bool) -> list[str]:
    """The addresses of a URL's host, in the order in which they should be tried."""
    try:
        found = socket.getaddrinfo(_ascii(url), url.port or _PORTS[url.scheme], type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        if may_be_unknown:
            return []
        if isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN:
            raise httpx.ConnectError(f"{url.host} cannot be resolved now") from error
        raise DataError(
            "DataUnreachable", f"there is no host {url.host} as this machine sees it: correct the URL, or its DNS"
        ) from error
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def _sent_to(address: str, request: httpx.Request) -> httpx.Request:
    """The same request to an address; the Host header and the name in the certificate stay those of the URL."""
    return httpx.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": _ascii(request.url)},
    )


def _ascii(url: httpx.URL) -> str:
    """The host as DNS and certificates have it."""
    return url.raw_host.decode("ascii")


def _normal(host: str) -> str:
    return host.lower().strip("[]").rstrip(".")
