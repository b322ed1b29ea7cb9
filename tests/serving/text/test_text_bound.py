"""No text is called too long that would fit, whatever kind of tokenizer reads it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, models, normalizers, pre_tokenizers
from tokenizers import Tokenizer as ReferenceTokenizer

from serving.text.text_bound import TextBound, text_bound
from serving.text.tokenizer import ModelTokenizer, TextTooLong

# What tokenizers lose, compose or swallow: control characters, accents, whitespace, and special tokens beside it.
pieces = st.lists(st.text(max_size=5) | st.sampled_from(["\x04", "e\u0301", "  \n", "<end>", "word"]), max_size=30)


def byte_level(*special: AddedToken) -> ReferenceTokenizer:
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    # As in SmolLM2: a byte that no text of the training had is missing, so that its character vanishes.
    known = sorted(character for character in alphabet if character != "\u0104")
    tokenizer = ReferenceTokenizer(models.BPE({text: index for index, text in enumerate([*known, "wo"])}, [("w", "o")]))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(r"\s"), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.add_special_tokens(list(special))
    return tokenizer


@pytest.mark.parametrize("special", [(), (AddedToken("<end>", rstrip=True),)], ids=["plain", "stripping"])
@given(pieces=pieces)
@settings(max_examples=200, deadline=None)
def test_a_byte_level_text_has_at_least_so_many_tokens(special: tuple[AddedToken, ...], pieces: list[str]) -> None:
    tokenizer, text = byte_level(*special), "".join(pieces)
    bound = text_bound(tokenizer)
    assert bound is not None
    assert bound.fewest_tokens(text) <= len(tokenizer.encode(text).ids)


@given(pieces=pieces)
@settings(max_examples=200, deadline=None)
def test_a_text_with_byte_fallback_has_at_least_so_many_tokens(
    byte_fallback_tokenizer: ReferenceTokenizer, pieces: list[str]
) -> None:
    text = "".join(pieces)
    bound = text_bound(byte_fallback_tokenizer)
    assert bound is not None
    assert bound.fewest_tokens(text) <= len(byte_fallback_tokenizer.encode(text).ids)


def test_the_bound_of_smollm2_is_its_longest_token(reference_tokenizer: ReferenceTokenizer) -> None:
    bound = text_bound(reference_tokenizer)
    assert bound == TextBound(max(map(len, reference_tokenizer.get_vocab())), uncounted="\x04\x06\x13\x14\x16\x1d")


@pytest.mark.parametrize(
    "change",
    [
        lambda tokenizer: setattr(tokenizer, "normalizer", normalizers.Strip()),
        lambda tokenizer: setattr(tokenizer, "normalizer", normalizers.Replace(Regex("a+"), "a")),
        lambda tokenizer: setattr(tokenizer, "pre_tokenizer", pre_tokenizers.WhitespaceSplit()),
        lambda tokenizer: setattr(tokenizer, "pre_tokenizer", pre_tokenizers.Split(" ", "removed")),
        lambda tokenizer: setattr(tokenizer, "model", models.WordLevel({"<unk>": 0}, "<unk>")),
    ],
    ids=["strips", "shortens", "drops spaces", "removes", "unknown words"],
)
def test_a_tokenizer_that_loses_text_has_no_bound(
    byte_fallback_tokenizer: ReferenceTokenizer, change: Callable[[ReferenceTokenizer], None]
) -> None:
    tokenizer = ReferenceTokenizer.from_str(byte_fallback_tokenizer.to_str())
    change(tokenizer)
    assert text_bound(tokenizer) is None


def test_a_text_at_the_bound_is_read_and_one_beyond_it_is_not(smollm2_tokenizer: ModelTokenizer) -> None:
    characters = 81 * 1000
    assert len(asyncio.run(smollm2_tokenizer.encode("x" * characters, at_most=1000))) > 1000
    with pytest.raises(TextTooLong) as caught:
        asyncio.run(smollm2_tokenizer.encode("x" * (characters + 1), at_most=1000))
    assert (caught.value.characters, caught.value.fewest_tokens) == (characters + 1, 1001)
