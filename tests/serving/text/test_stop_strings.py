"""The text ends where plain search would end it, however it is cut into pieces."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from serving.text.stop_strings import StopStrings

# Two letters, so that stop strings overlap, repeat and contain each other.
texts = st.text("ab", max_size=20)
stop_strings = st.lists(st.text("ab", min_size=1, max_size=5), min_size=1, max_size=4)


@st.composite
def cut_texts(draw: st.DrawFn) -> list[str]:
    """A text in pieces, empty ones among them; sometimes a stop string is in one piece, sometimes in many."""
    text = draw(texts)
    cuts = draw(st.lists(st.integers(0, len(text)), max_size=draw(st.sampled_from([0, 1, 20]))).map(sorted))
    return [text[start:end] for start, end in pairwise([0, *cuts, len(text)])]


def streamed(stops: list[str], pieces: list[str]) -> tuple[str, bool]:
    cutter = StopStrings(stops)
    text = "".join(cutter.push(piece) for piece in pieces)
    stopped = cutter.stopped
    return text + cutter.flush(), stopped


def searched(stops: list[str], text: str) -> tuple[str, bool]:
    """Read a letter at a time until a stop string is complete; of several, the longest is cut off."""
    for end in range(len(text) + 1):
        if complete := [stop for stop in stops if text[:end].endswith(stop)]:
            return text[: end - max(map(len, complete))], True
    return text, False


@given(stop=st.text("ab", min_size=1, max_size=5), pieces=cut_texts())
def test_one_stop_string_is_found_where_find_finds_it(stop: str, pieces: list[str]) -> None:
    text = "".join(pieces)
    found = text.find(stop)
    assert streamed([stop], pieces) == ((text, False) if found < 0 else (text[:found], True))


@given(stops=stop_strings, pieces=cut_texts())
def test_of_several_the_one_that_is_complete_first_ends_the_text(stops: list[str], pieces: list[str]) -> None:
    assert streamed(stops, pieces) == searched(stops, "".join(pieces))


@given(stops=stop_strings, pieces=cut_texts())
def test_no_more_is_held_back_than_may_become_a_stop_string(stops: list[str], pieces: list[str]) -> None:
    cutter, given_out, taken_in = StopStrings(stops), "", ""
    for piece in pieces:
        given_out += cutter.push(piece)
        taken_in += piece
        if cutter.stopped:
            break
        held = taken_in.removeprefix(given_out)
        assert held == "" or any(stop.startswith(held) and stop != held for stop in stops)


def test_nothing_comes_after_the_end() -> None:
    cutter = StopStrings(["END"])
    assert cutter.push("the END of it") == "the "
    assert cutter.stopped
    assert cutter.push("more") == ""
    assert cutter.flush() == ""
