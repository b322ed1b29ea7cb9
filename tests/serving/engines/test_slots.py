"""Slots: which one a sequence gets, and what it finds there."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from serving.engines.transformers_engine.slots import Contents, Place, SlotPool

PROMPT = tuple(range(100, 140))


def base(tokens: tuple[int, ...]) -> Contents:
    return Contents("base", tokens)


def test_slots_that_were_never_used_come_first_the_lowest_before_others() -> None:
    pool = SlotPool(3)
    assert [pool.take(base((slot,))).slot for slot in range(3)] == [0, 1, 2]
    assert not len(pool)


def test_of_the_lowest_free_slots_the_one_unused_for_longest_is_taken() -> None:
    pool = SlotPool(8)
    for slot in range(8):
        pool.take(base((slot,)))
    for slot in (2, 7, 1, 0, 3, 6):
        pool.give_back(slot, base((slot,)))
    assert pool.take(base((9,))).slot == 2, "7 was given back before 1, but is not among the four lowest"


def test_a_conversation_goes_on_in_its_slot() -> None:
    pool = SlotPool(4)
    pool.take(base(PROMPT))
    pool.take(base((1,)))
    pool.give_back(0, base((*PROMPT, 7, 8)))
    assert pool.take(base((*PROMPT, 7, 8, 9, 9))) == Place(0, len(PROMPT) + 2)


def test_the_last_token_of_a_prompt_is_always_computed() -> None:
    pool = SlotPool(2)
    pool.take(base(PROMPT))
    pool.give_back(0, base((*PROMPT, 7)))
    assert pool.take(base(PROMPT)) == Place(0, len(PROMPT) - 1)


def test_what_a_running_sequence_holds_is_copied() -> None:
    pool = SlotPool(2)
    pool.take(base(PROMPT))
    assert pool.take(base((*PROMPT, 5)), [(0, base(PROMPT[:20]))]) == Place(1, 20, source=0)


def test_a_long_conversation_is_not_lost_to_one_that_shares_its_beginning() -> None:
    pool = SlotPool(2)
    pool.take(base(PROMPT))
    long = base((*PROMPT, *range(200)))
    pool.give_back(0, long)
    assert pool.take(base((*PROMPT, 5))) == Place(1, len(PROMPT), source=0)
    assert pool.take(base((*long.tokens, 1))) == Place(0, len(long.tokens))


def test_what_another_adapter_has_computed_is_not_shared() -> None:
    pool = SlotPool(2)
    pool.take(Contents("support", PROMPT))
    pool.give_back(0, Contents("support", PROMPT))
    assert pool.take(base((*PROMPT, 5))).shared == 0


def test_a_slot_whose_contents_are_worth_nothing_is_not_shared() -> None:
    pool = SlotPool(1)
    pool.take(base(PROMPT))
    pool.give_back(0, None)
    assert pool.take(base((*PROMPT, 5))) == Place(0)


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.lists(st.integers(0, 1), min_size=1, max_size=60)), min_size=1, max_size=30
    )
)
def test_what_is_said_to_be_shared_is_there(prompts: list[tuple[int, list[int]]]) -> None:
    """Sequences that end one after another, at most three at a time, over prompts that often share a beginning."""
    pool, held, running = SlotPool(3), dict[int, Contents](), list[int]()
    for repeats, tail in prompts:
        wanted = base((0,) * 20 * repeats + tuple(tail))
        busy = [(slot, held[slot]) for slot in running]
        place = pool.take(wanted, busy)
        assert place.slot not in running
        if place.shared:
            there = held[place.slot if place.source is None else place.source].tokens
            assert there[: place.shared] == wanted.tokens[: place.shared]
            assert place.shared < len(wanted.tokens)
        held[place.slot] = wanted
        running.append(place.slot)
        if len(running) == 3:
            ended = running.pop(0)
            pool.give_back(ended, held[ended])
