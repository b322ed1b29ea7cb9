"""Where something stands in a stack's config, and how its value is shown to people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from components.planning.errors import Problem


@dataclass(frozen=True)
class Place:
    """A place in the config: its path, and the workspace it belongs to where that has a name."""

    path: str
    workspace: str = ""

    def at(self, *steps: int | str) -> Place:
        """A place below this one.

        >>> Place("modelyard:workspaces").at(1, "inference", "preset").path
        'modelyard:workspaces[1].inference.preset'
        >>> Place("modelyard:workspaces[1].resource.labelSelector.matchLabels").at("kubernetes.io/os").path
        'modelyard:workspaces[1].resource.labelSelector.matchLabels["kubernetes.io/os"]'
        """
        path = self.path
        for step in steps:
            if isinstance(step, int):
                path += f"[{step}]"
            else:
                path += f".{step}" if step.replace("_", "").replace("-", "").isalnum() else f'["{step}"]'
        return Place(path, self.workspace)

    def short(self) -> str:
        """As it is called beside another place.

        >>> Place("modelyard:workspaces[1]").short()
        'workspaces[1]'
        """
        return self.path.removeprefix("modelyard:")

    def problem(self, *, found: str, allowed: str, do: str) -> Problem:
        return Problem(path=self.path, found=found, allowed=allowed, do=do, workspace=self.workspace)


def shown(value: object) -> str:
    """A value as a person wrote it, with the type that YAML gave it where that may surprise.

    >>> shown("chat"), shown(2), shown(True), shown(None)
    ('"chat"', '2 (a number)', 'true (a boolean)', 'nothing')
    >>> shown([1, 2]), shown({"name": "chat"})
    ('a list of 2', 'a map with name')
    """
    match value:
        case None:
            return "nothing"
        case bool():
            return f"{str(value).lower()} (a boolean)"
        case int() | float():
            return f"{value} (a number)"
        case str():
            return f'"{value}"' if len(value) <= 80 else f'"{value[:77]}..."'
        case Mapping():
            keys = [str(key) for key in cast("Mapping[object, object]", value)]
            return f"a map with {', '.join(keys)}" if keys else "an empty map"
        case list():
            count = len(cast("list[object]", value))
            return f"a list of {count}" if count else "an empty list"
        case _:
            return repr(value)
