"""Fields that are accepted and have no effect: one sentence names them, and says why."""

from __future__ import annotations

from collections.abc import Mapping


def ignored(fields: Mapping[str, bool], reason: str, *, where: str = "") -> list[str]:
    """A sentence about those of `fields` that are given; none if none is.

    >>> ignored({"resource.spot": True, "resource.nodeClass": True, "resource.count": False}, "no node is made")
    ['resource.spot, resource.nodeClass are ignored: no node is made']
    """
    given = [field for field, is_given in fields.items() if is_given]
    if not given:
        return []
    verb = "is" if len(given) == 1 else "are"
    return [f"{', '.join(given)} {verb} ignored{where}: {reason}"]
