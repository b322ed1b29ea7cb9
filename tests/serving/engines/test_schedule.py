"""What a step computes, and which of its rows attend together."""

from __future__ import annotations

import random

import torch

from serving.engines.transformers_engine.attention import cut_into_blocks
from serving.engines.transformers_engine.schedule import Chunk, PromptBudget, Sequence, plan_step
from tests.serving.engines.driving import request

BUDGET = PromptBudget(beside_decoding=4, alone=10)
CPU = torch.device("cpu")


def sequence(slot: int, *, cached: int, pending: int) -> Sequence:
    tokens = list(range(cached + pending))
    return Sequence(request(f"slot-{slot}", tuple(tokens)), slot, tokens, random.Random(0), cached)


def sizes(chunks: list[Chunk]) -> list[tuple[int, int]]:
    return [(chunk.sequence.slot, chunk.size) for chunk in chunks]


def test_decoding_sequences_come_first_and_by_slot() -> None:
    running = [sequence(2, cached=9, pending=1), sequence(1, cached=0, pending=3), sequence(0, cached=5, pending=1)]
    assert sizes(plan_step(running, BUDGET)) == [(0, 1), (2, 1), (1, 3)]


def test_prompts_share_a_budget_in_order_of_arrival() -> None:
    running = [sequence(3, cached=0, pending=7), sequence(0, cached=0, pending=7), sequence(1, cached=0, pending=7)]
    assert sizes(plan_step(running, BUDGET)) == [(3, 7), (0, 3)]


def test_the_budget_is_smaller_beside_decoding_sequences() -> None:
    running = [sequence(0, cached=0, pending=70), sequence(1, cached=5, pending=1)]
    assert sizes(plan_step(running, BUDGET)) == [(1, 1), (0, 4)]


def test_many_prompts_that_wait_have_more_of_a_step_than_one() -> None:
    waiting = [sequence(slot, cached=0, pending=3) for slot in (2, 3)]
    assert sizes(plan_step([sequence(0, cached=5, pending=1), *waiting], BUDGET)) == [(0, 1), (2, 3), (3, 3)]
    many = [sequence(slot, cached=0, pending=3) for slot in range(1, 6)]
    assert sum(chunk.size for chunk in plan_step([sequence(0, cached=5, pending=1), *many], BUDGET)) == 1 + 10


def test_a_chunk_knows_whether_it_ends_its_sequence() -> None:
    running = [sequence(0, cached=2, pending=5), sequence(1, cached=0, pending=7)]
    assert [chunk.ends_sequence for chunk in plan_step(running, BUDGET)] == [True, False]


def blocks(*sequences: Sequence) -> list[tuple[int, int, int, int]]:
    """Of each block: first row, first slot, slots, keys."""
    cut = cut_into_blocks(plan_step(sequences, BUDGET), CPU)
    return [(block.rows.start, block.first_slot, block.slots, block.keys) for block in cut]


def test_neighbouring_slots_of_like_length_attend_together() -> None:
    assert blocks(*(sequence(slot, cached=100 + slot, pending=1) for slot in range(4))) == [(0, 0, 4, 104)]


def test_a_hole_between_slots_ends_a_block() -> None:
    assert blocks(sequence(0, cached=9, pending=1), sequence(2, cached=9, pending=1)) == [(0, 0, 1, 10), (1, 2, 1, 10)]


def test_a_much_longer_sequence_attends_by_itself() -> None:
    one_long = [
        sequence(0, cached=50, pending=1),
        sequence(1, cached=3000, pending=1),
        sequence(2, cached=50, pending=1),
    ]
    assert blocks(*one_long) == [(0, 0, 1, 51), (1, 1, 1, 3001), (2, 2, 1, 51)]


def test_each_prompt_chunk_attends_by_itself() -> None:
    mixed = [sequence(0, cached=9, pending=1), sequence(1, cached=0, pending=3), sequence(2, cached=20, pending=3)]
    assert blocks(*mixed) == [(0, 0, 1, 10), (1, 1, 1, 3), (4, 2, 1, 23)]
