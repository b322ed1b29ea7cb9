"""Thoughts and answers, whole and in any pieces."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from serving.text.reasoning import REASONING_FORMATS, ReasoningParser

THINK = REASONING_FORMATS["qwen3"]
FRAGMENTS = st.sampled_from(["<think>", "</think>", "<think", "</", " ", "\n", "thought ", "answer", "<", "é"])


def parted(pieces: list[str], *, begun: bool) -> tuple[str, str]:
    parser = ReasoningParser(THINK, begun=begun)
    parts = [*(parser.push(piece) for piece in pieces), parser.finish()]
    return "".join(part.reasoning for part in parts), "".join(part.answer for part in parts)


@given(fragments=st.lists(FRAGMENTS, max_size=8), places=st.lists(st.integers(0, 60), max_size=6), begun=st.booleans())
def test_what_is_told_apart_does_not_depend_on_how_the_text_was_cut(
    fragments: list[str], places: list[int], begun: bool
) -> None:
    text = "".join(fragments)
    whole = parted([text], begun=begun)
    bounds = [0, *sorted(place % (len(text) + 1) for place in places), len(text)]
    assert parted([text[i:j] for i, j in itertools.pairwise(bounds)], begun=begun) == whole
    assert parted(list(text), begun=begun) == whole


def test_a_model_may_write_the_opening_that_its_prompt_has_already() -> None:
    assert parted(["<think>\nhm\n</think>\nyes"], begun=True) == ("hm", "yes")
    assert parted(["hm</think>yes"], begun=True) == ("hm", "yes")


def test_a_prompt_begins_thoughts_only_if_it_ends_with_their_opening() -> None:
    assert THINK.begun_by("assistant\n<think>\n")
    assert not THINK.begun_by("assistant\n<think>\n\n</think>\n\n")
    assert not THINK.begun_by("assistant\n")
