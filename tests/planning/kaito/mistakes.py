"""A mistake, its verdict, and the check that both tables of mistakes share."""

from __future__ import annotations

from dataclasses import dataclass

from tests.planning.kaito.reading import read, words_of

SELECTOR = "labelSelector: {matchLabels: {apps: phi-3}}"
SIZE = "instanceType: Standard_NC24ads_A100_v4"


@dataclass(frozen=True)
class Case:
    what: str
    text: str
    path: str
    """Below the file, or the whole path if it begins with the file's name."""
    words: tuple[str, ...]
    existing_nodes: bool = False

    def __str__(self) -> str:
        return self.what.replace(" ", "-")


def check(case: Case) -> None:
    """The mistake is refused once, where it stands, with these words; nothing else is refused."""
    manifests = read(case.text, existing_nodes=case.existing_nodes)
    path = case.path if case.path.startswith("ws.yaml") else f"ws.yaml: {case.path}"
    assert [problem.path for problem in manifests.problems] == [path]
    (problem,) = manifests.problems
    for words in case.words:
        assert words in words_of(problem)
    assert all((problem.found, problem.allowed, problem.do)), "each of the three says something"
