"""Fields of which exactly one may have a value: the ways to name where something comes from or goes to."""

from __future__ import annotations

from collections.abc import Mapping

from components.planning.errors import Problem
from components.planning.place import Place


def one_of_problems(fields: Mapping[str, object], place: Place) -> list[Problem]:
    """What is wrong unless exactly one of `fields` has a value. An empty text or list counts as absent, as in Go."""
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
