"""Texts that a grammar allows, drawn at random: what a model that knows nothing would write."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
from llguidance import LLMatcher, LLTokenizer

BYTES = LLTokenizer("byte")
"""A tokenizer of single bytes."""


def walk(grammar: str, seed: int = 0, tokenizer: LLTokenizer = BYTES) -> list[int]:
    """Tokens that the grammar allows, from its beginning to a place where it may end."""
    matcher = LLMatcher(tokenizer, grammar)
    numbers = random.Random(seed)
    tokens: list[int] = []
    while not matcher.is_stopped():
        bits = np.unpackbits(np.frombuffer(matcher.compute_bitmask(), dtype=np.uint8), bitorder="little")
        allowed = [token for token in bits.nonzero()[0].tolist() if token not in tokenizer.eos_tokens]
        if matcher.is_accepting() and (not allowed or numbers.random() < 0.3):
            break
        # a model writes few spaces in a row; one token in five would be some otherwise
        words = [
            token for token in numbers.sample(allowed, min(50, len(allowed))) if tokenizer.decode_str([token]).strip()
        ]
        token = numbers.choice(words or allowed)
        assert matcher.consume_token(token), matcher.get_error()
        tokens.append(token)
    return tokens


def takes(grammar: str, text: str) -> bool:
    """Whether the whole text is one that the grammar allows."""
    matcher = LLMatcher(BYTES, grammar, log_level=0)
    tokens: Sequence[int] = text.encode()
    return matcher.try_consume_tokens(list(tokens)) == len(tokens) and matcher.is_accepting()
