"""Completions that are held to a grammar: which tokens may come next, and when nothing more may."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import torch
from llguidance import LLMatcher, LLTokenizer

from serving.engines.protocol import RequestFailed
from serving.engines.transformers_engine.adjustments import AllowedTokens
from serving.errors import StartupFailure
from serving.text.tokenizer import load_tokenizer

_SILENT = 0
MOST_KEPT = 16
"""Compiled grammars: a large one takes tenths of a second, and the choices of a request have the same one."""
_WORD = 32
"""Tokens a word of a mask has."""


class GrammarBroken(Exception):
    """A grammar that compiled has met a limit of the parser, so that the next token is unknown."""


class Constraint:
    """Where one completion stands in its grammar."""

    def __init__(self, matcher: LLMatcher, stop_token_ids: frozenset[int], grammar_stops: frozenset[int]) -> None:
        self._matcher = matcher
        self._stops = stop_token_ids
        self._never = grammar_stops - stop_token_ids
        """What ends a text for the tokenizer, but not for this request."""

    def fill(self, masks: torch.Tensor, row: int) -> None:
        """Set the bits of the tokens that may come next; masks (rows, words), int32. Changes nothing in the grammar.

        A stop token may come where the grammar may end, besides where it is a part of the text. Raises GrammarBroken.
        """
        words = torch.frombuffer(bytearray(self._matcher.compute_bitmask()), dtype=torch.int32)
        if self._matcher.is_error():
            reason = self._matcher.get_error().split("\n")[0][:200]
            raise GrammarBroken(
                f"the answer cannot be held to its form any longer, which is too deep or too large: {reason}"
            )
        masks[row] = words[: masks.shape[1]]
        for token in self._never:
            _set(masks[row], token, allowed=False)
        if self._matcher.is_accepting():
            for token in self._stops:
                _set(masks[row], token, allowed=True)

    def accept(self, token: int) -> bool:
        """Move on by the chosen token; True if the grammar is complete, so that nothing may follow."""
        # A token that the grammar does not take, or a limit, leaves an error behind, which the next `fill` raises.
        return self._matcher.consume_token(token) and self._matcher.is_stopped()


class Constraints:
    """Compiles grammars for the model's tokens."""

    def __init__(self, model_dir: Path, vocabulary: int) -> None:
        """vocabulary: rows of the model's embedding, which may be more or fewer than the tokenizer has tokens."""
        self._model_dir = model_dir
        self._vocabulary = vocabulary
        self._tokenizer: LLTokenizer | None = None
        self._compiled: OrderedDict[str, LLMatcher] = OrderedDict()

    def find(self, grammar: str) -> LLMatcher | None:
        """A grammar that has been compiled and kept."""
        matcher = self._compiled.get(grammar)
        if matcher is not None:
            self._compiled.move_to_end(grammar)
        return matcher

    def compile(self, grammar: str) -> LLMatcher:
        """`grammar` as GenerationRequest has it. One thread at a time, any. Raises RequestFailed."""
        matcher = LLMatcher(self._grammar_tokenizer(), grammar, log_level=_SILENT)
        if matcher.is_error():
            raise RequestFailed(f"the grammar cannot be used: {matcher.get_error()}")
        return matcher

    def keep(self, grammar: str, matcher: LLMatcher) -> None:
        """Have `find` find it, as long as there are not too many newer ones."""
        self._compiled[grammar] = matcher
        self._compiled.move_to_end(grammar)
        while len(self._compiled) > MOST_KEPT:
            self._compiled.popitem(last=False)

    def begin(self, matcher: LLMatcher, stop_token_ids: frozenset[int]) -> Constraint:
        """The beginning of a completion held to a grammar that has been compiled."""
        return Constraint(matcher.deep_copy(), stop_token_ids, frozenset(self._grammar_tokenizer().eos_tokens))

    def _grammar_tokenizer(self) -> LLTokenizer:
        # Made for the first grammar: it takes a second and the memory of a second vocabulary.
        if self._tokenizer is None:
            try:
                self._tokenizer = _read(self._model_dir, self._vocabulary)
            except (StartupFailure, ValueError, OSError) as error:
                raise RequestFailed(f"the model's tokenizer cannot be used with a grammar: {error}") from error
        return self._tokenizer


def _read(model_dir: Path, vocabulary: int) -> LLTokenizer:
    from llguidance.hf import from_tokenizer

    tokenizer = load_tokenizer(model_dir)
    size = max(vocabulary, len(tokenizer.pretrained))
    return from_tokenizer(tokenizer.pretrained, n_vocab=size, eos_token=sorted(tokenizer.stop_token_ids) or None)


def allowed_tokens(constraints: Sequence[Constraint | None], vocabulary: int) -> AllowedTokens | None:
    """What the rows that have a constraint may choose; None: no row has one. Raises GrammarBroken."""
    rows = [row for row, constraint in enumerate(constraints) if constraint is not None]
    if not rows:
        return None
    masks = torch.zeros(len(rows), -(-vocabulary // _WORD), dtype=torch.int32)
    for place, constraint in enumerate(filter(None, constraints)):
        constraint.fill(masks, place)
    return AllowedTokens(rows, masks)


def _set(mask: torch.Tensor, token: int, *, allowed: bool) -> None:
    word, bit = divmod(token, _WORD)
    # the highest bit of a signed word is its sign
    value = 1 << bit if bit < _WORD - 1 else -(1 << bit)
    mask[word] = mask[word] | value if allowed else mask[word] & ~value
