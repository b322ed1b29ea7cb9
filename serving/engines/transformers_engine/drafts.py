"""Tokens that a sequence may go on with, guessed from its own past, so that one step makes several of them.

Texts repeat themselves: names, phrases, lines of code, and above all what a summary or an edit takes from its prompt. A
step that also computes what follows a guess shows at every token of it which one the model chooses there; as long as
that is the guessed one, it has been computed already. So the tokens are the model's own choices, whatever is guessed.
Known as prompt lookup, or n-gram speculation.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from serving.engines.transformers_engine.schedule import Chunk
from serving.engines.transformers_engine.token_history import is_penalised

if TYPE_CHECKING:
    from serving.engines.protocol import GenerationRequest

LONGEST = 4
"""Tokens guessed at once. With SmolLM2 a step computes four more rows in a third more time, and 50% of them count for
stories, 57% for summaries; seven were no faster."""
_LENGTHS = (3, 2)
"""Tokens by which the past is looked through, the longest first."""


class Lookup:
    """Where the n-grams of a growing sequence stood last. The first draft reads all of it, a token more costs O(1)."""

    __slots__ = ("_followed", "_known")

    def __init__(self) -> None:
        self._followed: dict[tuple[int, ...], int] = {}
        """N-gram to the place of the token after it."""
        self._known = 0
        """Tokens that are in it as what follows."""

    def draft(self, tokens: Sequence[int], most: int) -> tuple[int, ...]:
        """`most` tokens that may follow `tokens`, which begin as they did in the last call; often none.

        >>> Lookup().draft([1, 2, 3, 4, 5, 1, 2], 4), Lookup().draft([1, 2, 1, 2, 1], 4)
        ((3, 4, 5, 1), (2, 1, 2, 1))
        """
        for place in range(self._known, len(tokens)):
            for length in _LENGTHS:
                if place >= length:
                    self._followed[tuple(tokens[place - length : place])] = place
        self._known = len(tokens)
        for length in _LENGTHS:
            place = self._followed.get(tuple(tokens[-length:]))
            if place is not None:
                found = tuple(tokens[place : place + most])
                # what came last goes on in a circle: a row of blanks, a table's rules
                return (found * most)[:most]
        return ()


def lookup_for(request: GenerationRequest) -> Lookup | None:
    """None for a request whose next token hangs on more than its row, or must not hang on what else runs.

    Penalties and grammars go by the tokens before. A wrong guess uses up random numbers, and how much is guessed hangs
    on the other sequences: with a seed the same would not come again.
    """
    sampling = request.sampling
    seeded = sampling.seed is not None and sampling.temperature > 0
    return None if is_penalised(sampling) or seeded or request.grammar is not None else Lookup()


def with_drafts(chunks: Iterable[Chunk], rows: int, context: int) -> list[Chunk]:
    """The chunks of a step, with drafts up to `rows` rows in all if every one of them decodes.

    context: tokens that a sequence may have. Sequences share what is left evenly.
    """
    planned = list(chunks)
    if not all(chunk.size == 1 and chunk.sequence.generated for chunk in planned):
        return planned  # a prompt waits, and drafts would delay it
    left = rows - len(planned)
    for place, chunk in enumerate(planned):
        share = left // (len(planned) - place)
        if share > 0:
            planned[place] = _drafted(chunk, share, context)
            left -= len(planned[place].draft)
    return planned


def _drafted(chunk: Chunk, share: int, context: int) -> Chunk:
    sequence = chunk.sequence
    request = sequence.request
    # the token that the step makes anyhow is the last that the request may have, or that the cache has no room for
    room = min(request.max_tokens - sequence.generated, context - len(sequence.tokens)) - 1
    if sequence.lookup is None or room < 1 or sequence.generated < request.min_tokens:
        return chunk
    draft = sequence.lookup.draft(sequence.tokens, min(share, LONGEST, room))
    return Chunk(sequence, chunk.size + len(draft), draft)
