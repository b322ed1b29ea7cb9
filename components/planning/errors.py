"""What is wrong with a stack's config, all of it at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing to correct. `path` is as `pulumi config set --path` takes it; `workspace` is the name, where known."""

    path: str
    found: str
    allowed: str
    do: str
    workspace: str = ""

    def __str__(self) -> str:
        where = f"{self.path}  (workspace {self.workspace})" if self.workspace else self.path
        return f"  {where}\n    found    {self.found}\n    allowed  {self.allowed}\n    do       {self.do}"


class SpecError(Exception):
    """A config that cannot be applied; str() is what a person reads.

    >>> problem = Problem(path="modelyard:target", found="locl", allowed="local", do="write local")
    >>> print(SpecError([problem], "Pulumi.dev.yaml"))
    1 problem in Pulumi.dev.yaml
      modelyard:target
        found    locl
        allowed  local
        do       write local
    """

    def __init__(self, problems: Sequence[Problem], file: str) -> None:
        self.problems = tuple(problems)
        self.file = file
        count = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        super().__init__("\n".join([f"{count} in {file}", *map(str, self.problems)]))
