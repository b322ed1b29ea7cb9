"""The project's pages as tests read them: code blocks, inline code, headings and links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

PROJECT = Path(__file__).parents[2]

_BLOCK = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} (?P<text>.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the word after it, if any, and its lines."""

    language: str
    mark: str
    text: str


@dataclass(frozen=True)
class Page:
    """One Markdown file."""

    path: Path

    def __str__(self) -> str:
        return str(self.path.relative_to(PROJECT))

    @cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def prose(self) -> str:
        """The text without its fenced blocks."""
        return _BLOCK.sub("", self.text)

    @cached_property
    def blocks(self) -> list[Block]:
        found: list[Block] = []
        for match in _BLOCK.finditer(self.text):
            language, _, mark = match["info"].strip().partition(" ")
            found.append(Block(language, mark, match["text"]))
        return found

    @cached_property
    def inline_code(self) -> list[str]:
        return _INLINE.findall(self.prose)

    @cached_property
    def headings(self) -> list[str]:
        return _HEADING.findall(self.prose)

    @cached_property
    def anchors(self) -> set[str]:
        return {anchor(heading) for heading in self.headings}

    def links(self) -> Iterator[str]:
        for match in _LINK.finditer(_INLINE.sub("", self.prose)):
            yield match["target"]

    def cells(self, column: int) -> list[str]:
        """One column of all tables of the page, without heads and rules."""
        rows = [line.strip("|").split("|") for line in self.prose.splitlines() if line.startswith("| ")]
        rules = [index for index, row in enumerate(rows) if set(row[0].strip()) == {"-"}]
        left_out = {*rules, *(index - 1 for index in rules)}
        return [row[column].strip() for index, row in enumerate(rows) if index not in left_out]


def anchor(heading: str) -> str:
    """The anchor that GitHub gives to a heading.

    >>> anchor("What `make up` needs: disk, time")
    'what-make-up-needs-disk-time'
    """
    kept = (letter for letter in heading.lower().replace(" ", "-") if letter.isalnum() or letter in "-_")
    return "".join(kept)


def pages() -> list[Page]:
    """Every page of the project."""
    files = [
        *PROJECT.glob("*.md"),
        *(file for folder in ("docs", "examples") for file in (PROJECT / folder).rglob("*.md")),
    ]
    return [Page(file) for file in sorted(files)]


def page(name: str) -> Page:
    return Page(PROJECT / name)
