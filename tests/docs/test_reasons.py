"""What the program prints can be found in the pages, and what they explain is printed."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from components.reconciliation.cluster.cause import PRIORITY
from components.reconciliation.cluster.mirror import UNDERWAY
from tests.docs import pages
from tests.docs.pages import PROJECT
from tests.docs.reasons import reasons_in_code

CODE = ("components", "presets", "serving", "toolchain")
NOT_OURS = {
    "the stack is currently locked by 1 lock(s)",
    "Verify that any required CRDs have been created",
    "incorrect passphrase",
    "No space left on device",
    "Path '/v1/models' not found. Ping http://.../-/routes for available routes.",
}
"""Headings of troubleshooting.md with the words of other programs."""

GAP = "\0"


def test_every_reason_is_explained_and_every_explained_reason_exists() -> None:
    explained = {cell.strip("`") for cell in pages.page("docs/conditions.md").cells(0)}
    explained -= {"ResourceReady", "InferenceReady", "TuningReady"}
    given = reasons_in_code()
    assert given.keys() - explained == set(), "reasons that docs/conditions.md does not explain"
    assert explained - given.keys() == set(), "docs/conditions.md explains what no code gives"


def test_the_order_of_causes_has_no_reason_that_nothing_gives() -> None:
    assert {*PRIORITY, *UNDERWAY} - reasons_in_code().keys() == set()


def symptoms() -> Iterator[str]:
    for heading in pages.page("docs/troubleshooting.md").headings:
        if (code := re.match(r"`([^`]+)`", heading)) and code[1] not in NOT_OURS:
            yield code[1]


@pytest.fixture(scope="module")
def sentences() -> list[str]:
    """Every text in the code, whatever is put in replaced by GAP."""
    files = [file for folder in CODE for file in sorted((PROJECT / folder).rglob("*.py"))]
    return [text for file in files for text in _texts(ast.parse(file.read_text(encoding="utf-8")))]


def _texts(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str(text)):
                yield re.sub(r"\{[^}]*\}", GAP, text)
            case ast.JoinedStr(values=parts):
                yield "".join(str(part.value) if isinstance(part, ast.Constant) else GAP for part in parts)
            case _:
                pass


@pytest.mark.parametrize("symptom", list(symptoms()))
def test_every_symptom_is_what_the_program_prints(symptom: str, sentences: list[str]) -> None:
    pattern = ".*".join(re.escape(part.strip()) for part in symptom.split("…"))
    assert any(re.search(pattern, text, re.DOTALL) for text in sentences), f"no code prints {symptom}"
