"""Names that follow from a workspace's name, and the rules for that name."""

from __future__ import annotations

import re

MAX_NAME = 47
"""KubeRay refuses a longer RayService: it adds suffixes, and a Kubernetes name ends at 63 characters."""

_LABEL = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?")


def is_workspace_name(name: str) -> bool:
    """Whether a workspace may be called so on every target: a DNS-1035 label of at most MAX_NAME characters.

    KAITO's rule is DNS-1123, which also allows a digit in front; KubeRay and Kubernetes Services do not.

    >>> is_workspace_name("chat"), is_workspace_name("Chat"), is_workspace_name("7b"), is_workspace_name("a" * 48)
    (True, False, False, False)
    """
    return len(name) <= MAX_NAME and _LABEL.fullmatch(name) is not None


def valid_name_like(name: str) -> str:
    """A valid name that looks like `name`, or "" if nothing of it can be kept.

    >>> valid_name_like("My_Chat Model"), valid_name_like("7b"), valid_name_like("...")
    ('my-chat-model', 'm-7b', '')
    """
    kept = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    if kept[:1].isdigit():
        kept = f"m-{kept}"
    return kept[:MAX_NAME].rstrip("-")


def route_prefix(name: str) -> str:
    """Where the proxy of Ray Serve finds the workspace's application."""
    return f"/{name}"


def base_url(name: str, port: int) -> str:
    """What an OpenAI client on this machine takes as its base_url.

    >>> base_url("chat", 8000)
    'http://127.0.0.1:8000/chat/v1'
    """
    return f"http://127.0.0.1:{port}{route_prefix(name)}/v1"
