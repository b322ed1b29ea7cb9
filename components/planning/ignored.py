"""Fields that are accepted and have no effect: one sentence names them, and says why."""

from __future__ import annotations

from collections.abc import Mapping


def ignored(fields: Mapping[str, bool], reason: str, *, where: str = "") -> list[str]:
    """A sentence about those of `fields` that are given; none if none is.

    >>> ignored({"resource.spot": True, "resource.nodeClass": True, "resource.count": False}, "no node is made")
    ['resource.spot, resource.nodeClass are ignored: no node is made']
    """
    given = _those_given(fields)
    return [f"{given} ignored{where}: {reason}"] if given else []


def ignored_here(fields: Mapping[str, bool], reason: str) -> list[str]:
    """The same of target local."""
    given = _those_given(fields)
    return [f"{given} ignored on target local: {reason}"] if given else []


def _those_given(fields: Mapping[str, bool]) -> str:
    """Their names with the verb; "" if none is given."""
    given = [field for field, is_given in fields.items() if is_given]
    return f"{', '.join(given)} {'is' if len(given) == 1 else 'are'}" if given else ""
