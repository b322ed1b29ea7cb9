"""What is found while manifests are read: problems that refuse them, and warnings that do not."""

from __future__ import annotations

from dataclasses import dataclass, field

from components.planning.errors import Problem
from components.planning.place import Place


@dataclass
class Findings:
    """Collected in the order of the files, so that all of it is said at once."""

    problems: list[Problem] = field(default_factory=list[Problem])
    warnings: list[str] = field(default_factory=list[str])

    def refuse(self, place: Place, *, found: str, allowed: str, do: str) -> None:
        self.problems.append(place.problem(found=found, allowed=allowed, do=do))

    def warn(self, place: Place, sentence: str) -> None:
        self.warnings.append(f"{place.path}: {sentence}")
