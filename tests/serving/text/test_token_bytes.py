"""The bytes of a text's tokens are the bytes of the text."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tokenizers import AddedToken, decoders, models
from tokenizers import Tokenizer as ReferenceTokenizer

from serving.text.token_bytes import TokenBytes
from serving.text.tokenizer import ModelTokenizer

texts = st.text(st.characters(max_codepoint=0x1FFFF, codec="utf-8") | st.sampled_from("👩‍🚀你好 é\n'"), max_size=20)


@given(text=texts)
def test_of_a_tokenizer_that_knows_bytes(
    smollm2_tokenizer: ModelTokenizer, reference_tokenizer: ReferenceTokenizer, text: str
) -> None:
    token_ids = reference_tokenizer.encode(text).ids
    assume(reference_tokenizer.decode(token_ids) == text)  # it has no tokens for some planes' bytes
    assert b"".join(map(smollm2_tokenizer.token_bytes, token_ids)) == text.encode()


@given(text=st.text("abc é.你👩", max_size=20))
def test_of_a_tokenizer_that_falls_back_to_them(byte_fallback_tokenizer: ReferenceTokenizer, text: str) -> None:
    token_bytes = TokenBytes(byte_fallback_tokenizer)
    expected = f" {text}" if text else ""
    assert b"".join(map(token_bytes, byte_fallback_tokenizer.encode(text).ids)) == expected.encode()


def test_every_token_of_a_vocabulary_has_its_bytes(
    smollm2_tokenizer: ModelTokenizer, reference_tokenizer: ReferenceTokenizer
) -> None:
    for token_id in range(reference_tokenizer.get_vocab_size()):
        spoken = smollm2_tokenizer.token_bytes(token_id).decode(errors="replace")
        assert spoken == reference_tokenizer.decode([token_id], skip_special_tokens=False)


def test_an_id_without_a_token_has_no_bytes(smollm2_tokenizer: ModelTokenizer) -> None:
    assert smollm2_tokenizer.token_bytes(10**6) == b""


@pytest.mark.parametrize("decoder", [decoders.ByteLevel(), decoders.Sequence([decoders.ByteLevel()]), None])
def test_added_tokens_are_text_whatever_the_alphabet(decoder: decoders.Decoder | None) -> None:
    tokenizer = ReferenceTokenizer(models.BPE(vocab={"a": 0, "b": 1}, merges=[]))
    if decoder is not None:
        tokenizer.decoder = decoder
    tokenizer.add_special_tokens([AddedToken("<｜begin▁of▁sentence｜>")])
    tokenizer.add_tokens(["  "])
    token_bytes = TokenBytes(tokenizer)
    assert [token_bytes(token_id).decode() for token_id in range(4)] == ["a", "b", "<｜begin▁of▁sentence｜>", "  "]
