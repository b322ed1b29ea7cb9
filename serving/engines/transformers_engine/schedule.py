"""Which tokens of which sequences the next step computes. Pure: no tensors, no clock."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from serving.engines.protocol import GenerationRequest
from serving.engines.transformers_engine.token_history import TokenHistory

if TYPE_CHECKING:
    from serving.engines.transformers_engine.constraints import Constraint
    from serving.engines.transformers_engine.drafts import Lookup


@dataclass(eq=False, slots=True)
class Sequence:
    """A request that has a slot of the cache."""

    request: GenerationRequest
    slot: int
    tokens: list[int]
    """Prompt and completion so far."""
    random: random.Random
    """The request's own numbers, so that a seed gives the same tokens whatever else is generated beside it."""
    cached: int = 0
    """Tokens whose keys and values the cache holds; the others are still to be computed."""
    reused: int = 0
    """Of the prompt's tokens, those that the cache had from another sequence."""
    adapter_slot: int | None = None
    """None: the base model alone."""
    adapter_strength: float = 1.0
    """How much of the adapter is added."""
    constraint: Constraint | None = None
    """What the completion is held to; it stands where `tokens` ends."""
    history: TokenHistory | None = None
    """What the request's penalties are reckoned by; None if it has none."""
    lookup: Lookup | None = None
    """Where drafts come from; None if the request may have none."""

    @property
    def pending(self) -> int:
        return len(self.tokens) - self.cached

    @property
    def generated(self) -> int:
        return len(self.tokens) - len(self.request.prompt_token_ids)


class Chunk(NamedTuple):
    """`size` tokens to compute: those of a sequence from its first that is not in the cache, then those of a draft."""

    sequence: Sequence
    size: int
    draft: tuple[int, ...] = ()
    """Tokens that are guessed to follow the sequence's last."""

    @property
    def own(self) -> int:
        """Tokens that the sequence has already."""
        return self.size - len(self.draft)

    @property
    def tokens(self) -> list[int]:
        cached = self.sequence.cached
        return [*self.sequence.tokens[cached : cached + self.own], *self.draft]

    @property
    def ends_sequence(self) -> bool:
        """True if the sequence's last token is among these, so that its logits give the next one."""
        return self.own == self.sequence.pending

    @property
    def choices(self) -> int:
        """Rows, the last ones, whose logits give a token: that of the sequence's last token and those of the draft."""
        return 1 + len(self.draft) if self.ends_sequence else 0


@dataclass(frozen=True, kw_only=True)
class PromptBudget:
    """Prompt tokens that one step computes at most."""

    beside_decoding: int
    """For each prompt that waits, while sequences decode, whose next token waits for the step: one long prompt delays
    them little, and many that come at once are not kept waiting for the sake of a few."""
    alone: int
    """At most, and while nothing decodes."""


def plan_step(sequences: Iterable[Sequence], budget: PromptBudget) -> list[Chunk]:
    """One token of every decoding sequence, by slot, then prompt chunks in order of arrival while the budget lasts.

    A prompt of which one token is left counts as decoding: it costs a step no more than any other row.
    """
    decoding: list[Chunk] = []
    prompts: list[Sequence] = []
    for sequence in sequences:
        if sequence.pending == 1:
            decoding.append(Chunk(sequence, 1))
        else:
            prompts.append(sequence)
    decoding.sort(key=lambda chunk: chunk.sequence.slot)
    left = min(budget.alone, budget.beside_decoding * len(prompts)) if decoding else budget.alone
    chunks: list[Chunk] = []
    for sequence in prompts:
        if left == 0:
            break
        size = min(sequence.pending, left)
        chunks.append(Chunk(sequence, size))
        left -= size
    return decoding + chunks
