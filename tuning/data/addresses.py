"""Which addresses a URL of training data may lead to: public ones, and hosts that the stack allows by name.

A URL comes from a stack's config, and what is behind it ends in an adapter: a job that could read the cloud's metadata
service or a neighbour's database by it would hand out what it was never given.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Collection
from urllib.request import getproxies, proxy_bypass

import httpx

from tuning.errors import TuningError


def must_be_allowed(url: httpx.URL, allowed_hosts: Collection[str]) -> None:
    """Raise TuningError (DataRefused, DataUnreachable) unless every address of the host may be asked."""
    if url.scheme not in ("http", "https"):
        raise TuningError("DataRefused", f"{shown(url)} is no http or https URL: name the data by one")
    if url.host in allowed_hosts or _is_proxied(url):
        return
    try:
        found = {entry[4][0] for entry in socket.getaddrinfo(url.host, url.port or None, type=socket.SOCK_STREAM)}
    except OSError as error:
        raise TuningError(
            "DataUnreachable", f"{shown(url)}: the host {url.host} is not known ({error.strerror}): correct the URL"
        ) from error
    for address in found:
        _must_be_public(url, str(address))


def peer_must_be_allowed(response: httpx.Response, allowed_hosts: Collection[str]) -> None:
    """The same of the address that has answered: a name may have another one the second time it is looked up."""
    url = response.request.url
    stream = response.extensions.get("network_stream")
    if stream is None or url.host in allowed_hosts or _is_proxied(url):
        return
    _must_be_public(url, str(stream.get_extra_info("server_addr")[0]))


def shown(url: httpx.URL) -> str:
    """Without credentials: neither a user's nor those in a query, as signed URLs have them."""
    return str(url.copy_with(username=None, password=None, query=None, fragment=None))


def _must_be_public(url: httpx.URL, address: str) -> None:
    # An IPv6 address may come with the name of an interface.
    if not ipaddress.ip_address(address.partition("%")[0]).is_global:
        raise TuningError(
            "DataRefused",
            f"{shown(url)} leads to {address}, which is no public address: if it is meant, add {url.host} to "
            "tuning.input.allowedHosts",
        )


def _is_proxied(url: httpx.URL) -> bool:
    """A proxy looks names up itself, and what it may reach is its own rule."""
    return bool(getproxies().get(url.scheme)) and not proxy_bypass(url.host)
