"""How much text a number of tokens can stand for at most, so that a prompt of megabytes is refused by its length.

Tokenizing takes about a hundred times the memory of the text. The bound must never refuse a prompt that would fit, so
it is known only for tokenizers that lose nothing of the text but characters that can be named. A normalizer that may
remove text, a pre-tokenizer that drops what stands between words, one unknown token for a whole word: no bound.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from serving.text.token_bytes import BYTE_LEVEL_ALPHABET

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_COMPOSED = 4
"""Characters that Unicode's composition (NFC, NFKC) makes one of at most: a Greek vowel, two accents and an iota."""
_CUT_ONLY = {"ByteLevel", "Metaspace", "Digits", "Punctuation", "Split"}
"""Pre-tokenizers that keep the text, unless their behaviour is "Removed"."""
_WHITESPACE = "".join(filter(str.isspace, map(chr, range(0x3001))))
"""All of Unicode's, of which the ideographic space is the last."""


@dataclass(frozen=True)
class TextBound:
    """How many characters one token stands for at most."""

    characters: int
    uncounted: str = ""
    """Characters that may be lost, or taken by a token in any number."""

    def fewest_tokens(self, text: str) -> int:
        """Tokens that `text` has at least.

        >>> TextBound(4).fewest_tokens("nine char")
        3
        >>> TextBound(4, uncounted=" ").fewest_tokens("a   b   c")
        1
        """
        counted = len(text) - sum(map(text.count, self.uncounted))
        return -(-counted // self.characters)


def text_bound(tokenizer: Tokenizer) -> TextBound | None:
    """The bound of a tokenizer; None if it has none."""
    # The parts of a tokenizer are readable only in the form in which they are pickled: their piece of tokenizer.json.
    normalizer, pre_tokenizer = _part(tokenizer.normalizer), _part(tokenizer.pre_tokenizer)
    composed = _composed(normalizer)
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    lost = _lost(tokenizer, vocabulary, [*_steps(normalizer), *_steps(pre_tokenizer)])
    if composed is None or lost is None or not all(map(_keeps_text, _steps(pre_tokenizer))):
        return None
    # Such tokens take the whitespace beside them.
    stripping = any(token.lstrip or token.rstrip for token in tokenizer.get_added_tokens_decoder().values())
    # A character of a byte-level token is one byte, and so at most one character of the text.
    return TextBound(max(map(len, vocabulary)) * composed, lost + (_WHITESPACE if stripping else ""))


def _part(part: Any) -> dict[str, Any]:  # noqa: ANN401 - normalizers and pre-tokenizers have no common type
    return {} if part is None else json.loads(part.__getstate__())


def _steps(part: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The parts of a sequence, of sequences in it too; of anything else itself."""
    if not part:
        return []
    if part["type"] != "Sequence":
        return [part]
    return [inner for step in part.get("normalizers") or part.get("pretokenizers") or [] for inner in _steps(step)]


def _composed(normalizer: Mapping[str, Any]) -> int | None:
    """How many characters may become one at most; None if any number may, or may vanish."""
    composed = 1
    for step in _steps(normalizer):
        match step:
            case {"type": "Prepend" | "NFD" | "NFKD" | "Lowercase" | "ByteLevel"}:
                pass
            case {"type": "NFC" | "NFKC"}:
                composed *= _COMPOSED
            case {"type": "Replace", "pattern": {"String": str(found)}, "content": str(content)} if content:
                composed *= -(-len(found) // len(content))
            case _:
                return None
    return composed


def _keeps_text(pre_tokenizer: Mapping[str, Any]) -> bool:
    return pre_tokenizer["type"] in _CUT_ONLY and pre_tokenizer.get("behavior") != "Removed"


def _lost(tokenizer: Tokenizer, vocabulary: Mapping[str, int], steps: list[Mapping[str, Any]]) -> str | None:
    """Characters that the vocabulary has no token for, which vanish; None if any may, or may share a token."""
    if getattr(tokenizer.model, "byte_fallback", False):
        # A character of which one byte is missing is an unknown token, which may be one for a row of them.
        return "" if all(f"<0x{byte:02X}>" in vocabulary for byte in range(256)) else None
    if not any(step["type"] == "ByteLevel" for step in steps):
        return None
    missing = [byte for character, byte in BYTE_LEVEL_ALPHABET.items() if character not in vocabulary]
    # Without the byte that begins a character its other bytes are tokens all the same, if they are known.
    if any(0x80 <= byte < 0xC0 for byte in missing):
        return None
    return "".join(chr(byte) for byte in missing if byte < 0x80)
