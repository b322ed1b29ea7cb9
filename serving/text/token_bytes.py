"""The bytes that a token stands for, which need not be whole characters."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_META_SPACE = "▁"
_BYTE = re.compile(r"<0x([0-9A-F]{2})>")


class TokenBytes:
    """Bytes of single tokens, for the two kinds of tokenizers that language models have.

    A byte-level tokenizer writes each byte as a character of GPT-2's alphabet. One that falls back to bytes writes text
    as it is, a space as U+2581, and a byte that belongs to no token as <0xE4>. What a decoder does to a text as a
    whole, such as taking away the space at its beginning, is no matter of a single token.
    """

    def __init__(self, backend: Tokenizer) -> None:
        self._backend = backend
        self._added = {token_id: token.content for token_id, token in backend.get_added_tokens_decoder().items()}
        kinds = {step["type"] for step in _steps(backend)}
        self._byte_level = "ByteLevel" in kinds
        self._plain = bool(kinds & {"ByteFallback", "Metaspace"})

    def __call__(self, token_id: int) -> bytes:
        """Empty for an id that no token has; models may have more rows than tokens."""
        if (content := self._added.get(token_id)) is not None:
            return content.encode()
        token = self._backend.id_to_token(token_id)
        if token is None:
            return b""
        if self._byte_level:
            return _from_alphabet(token)
        if byte := _BYTE.fullmatch(token):
            return bytes.fromhex(byte[1])
        if self._plain:
            return token.replace(_META_SPACE, " ").encode()
        return self._backend.decode([token_id], skip_special_tokens=False).encode()


def _steps(backend: Tokenizer) -> Iterator[dict[str, Any]]:
    """The decoder's steps, as tokenizer.json has them."""
    if backend.decoder is None:
        return
    step = json.loads(backend.decoder.__getstate__())
    yield from step["decoders"] if step["type"] == "Sequence" else (step,)


def _from_alphabet(token: str) -> bytes:
    try:
        return bytes(BYTE_LEVEL_ALPHABET[character] for character in token)
    except KeyError:  # as the decoder itself has it, such a token is text
        return token.encode()


def _alphabet() -> dict[str, int]:
    """GPT-2's: printable bytes of Latin-1 are themselves, the others are the characters from U+0100 on, in order.

    >>> [_alphabet()[character] for character in "!Ġ"]
    [33, 32]
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + place): byte for place, byte in enumerate(others)}


BYTE_LEVEL_ALPHABET = _alphabet()
