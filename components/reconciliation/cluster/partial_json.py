"""Reading Kubernetes objects that may be partial: what is not there, or is something else, reads as empty.

Controllers fill a status in over time, and an object that was read too early lacks half of it. A reader of causes must
not fail over that.
"""

from __future__ import annotations

from typing import cast

from components.reconciliation.cluster.api import Json


def _at(value: object, path: tuple[str, ...]) -> object:
    for key in path:
        if not isinstance(value, dict):
            return None
        value = cast("Json", value).get(key)
    return value


def mapping(value: object, *path: str) -> Json:
    """
    >>> mapping({"status": {"state": {"running": {}}}}, "status", "state")
    {'running': {}}
    """
    found = _at(value, path)
    return cast("Json", found) if isinstance(found, dict) else {}


def mappings(value: object, *path: str) -> list[Json]:
    """The objects of a list; what is no object is left out."""
    found = _at(value, path)
    items = cast("list[object]", found) if isinstance(found, list) else []
    return [cast("Json", item) for item in items if isinstance(item, dict)]


def text(value: object, *path: str) -> str:
    """
    >>> text({"metadata": {"name": "chat-0"}}, "metadata", "name"), text({}, "metadata", "name")
    ('chat-0', '')
    """
    found = _at(value, path)
    return found if isinstance(found, str) else ""


def number(value: object, *path: str) -> int:
    found = _at(value, path)
    return found if isinstance(found, int) else 0


def name_of(obj: Json) -> str:
    return text(obj, "metadata", "name")


def is_leaving(obj: Json) -> bool:
    """Whether it is being deleted already."""
    return bool(text(obj, "metadata", "deletionTimestamp"))


def condition(obj: Json, kind: str) -> Json:
    """One condition of a status; empty if there is none of this type."""
    return next((found for found in mappings(obj, "status", "conditions") if text(found, "type") == kind), {})
