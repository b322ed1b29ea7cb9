"""The part of an answer in which a model thinks, taken apart from what it says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from serving.tools.marks import mark, text_until
from serving.tools.scanning import held_back


@dataclass(frozen=True)
class ReasoningFormat:
    """The texts between which a family of models thinks; they may be special tokens of its tokenizer."""

    opening: str
    closing: str

    @property
    def markers(self) -> tuple[str, str]:
        return self.opening, self.closing

    def begun_by(self, prompt: str) -> bool:
        """Whether a prompt ends inside the thinking, as some chat templates have it."""
        return prompt.rstrip().endswith(self.opening)

    def before_answer(self, marks: Mapping[str, int], *, begun: bool) -> str:
        """Lark rules of which `start` is the rule `answer`, after the thinking if there is one."""
        opening, closing = (mark(text, marks) for text in self.markers)
        if self.closing in marks:
            thoughts = f"thoughts: THOUGHTS {closing}\nTHOUGHTS: /(?s:.*)/\n"
        else:
            thoughts = text_until(self.closing, "thoughts")
        before = "thoughts GAP" if begun else f"({opening} thoughts GAP)?"
        return f"start: {before} answer\n{thoughts}GAP: /[ \\n]{{0,3}}/\n"


_THINK = ReasoningFormat("<think>", "</think>")

REASONING_FORMATS: Mapping[str, ReasoningFormat] = {
    **dict.fromkeys(("qwen3", "deepseek_r1", "deepseek_v3", "glm45", "nemotron_v3"), _THINK),
    "mistral": ReasoningFormat("[THINK]", "[/THINK]"),
}
"""By the names that presets and vLLM have for their parsers."""


class Parted(NamedTuple):
    reasoning: str
    answer: str


class ReasoningParser:
    """Parts one answer. What it finds depends on the text alone, not on how it was cut.

    White space around the markers belongs to neither part.
    """

    def __init__(self, format_: ReasoningFormat, *, begun: bool) -> None:
        self._format = format_
        self._buffer = ""
        self._opening = True
        """Whether the text may still begin with the opening marker."""
        self._skipping = False
        """Whether white space is dropped, since it stands right behind a marker."""
        self.thinking = begun

    def push(self, text: str) -> Parted:
        """What is certain now."""
        self._buffer += text
        return self._part(ended=False)

    def finish(self) -> Parted:
        """What was held back; called when the text has ended."""
        return self._part(ended=True)

    def _part(self, *, ended: bool) -> Parted:
        if self._opening and not self._opened(ended):
            return Parted("", "")
        reasoning = self._thoughts(ended) if self.thinking else ""
        answer = ""
        if not self.thinking:
            answer, self._buffer = self._trimmed(self._buffer), ""
        return Parted(reasoning, answer)

    def _opened(self, ended: bool) -> bool:
        """Whether it is known if the text begins with the opening marker, which is then removed."""
        stripped = self._buffer.lstrip()
        if stripped.startswith(self._format.opening):
            self._buffer = stripped[len(self._format.opening) :]
            self.thinking = True
        elif self._format.opening.startswith(stripped) and not ended:
            return False
        self._opening = False
        self._skipping = self.thinking
        return True

    def _thoughts(self, ended: bool) -> str:
        found = self._buffer.find(self._format.closing)
        if found >= 0:
            thoughts = self._trimmed(self._buffer[:found].rstrip())
            self._buffer = self._buffer[found + len(self._format.closing) :]
            self.thinking = False
            self._skipping = True
            return thoughts
        certain = len(self._buffer) - (0 if ended else held_back(self._buffer, self._format.closing))
        thoughts, self._buffer = self._trimmed(self._buffer[:certain]), self._buffer[certain:]
        return thoughts

    def _trimmed(self, text: str) -> str:
        if self._skipping:
            text = text.lstrip()
            self._skipping = not text
        return text
