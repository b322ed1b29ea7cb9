"""What is wrong with a stack's config, all of it at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


def printable(text: str) -> str:
    r"""The text with what a terminal would obey, or cannot show, written as an escape.

    >>> print(printable("a\x1b[2Jb"), printable("München"))
    a\x1b[2Jb München
    """
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode("ascii") for each in text)


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
        lines = (f"  {where}", f"    found    {self.found}", f"    allowed  {self.allowed}", f"    do       {self.do}")
        return "\n".join(map(printable, lines))


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
        super().__init__("\n".join([f"{count} in {printable(file)}", *map(str, self.problems)]))
