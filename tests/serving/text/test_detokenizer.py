"""Text that is streamed is the text that the tokens have together."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import assume, given
from hypothesis import strategies as st
from tokenizers import Tokenizer as ReferenceTokenizer

from serving.text.detokenizer import Detokenizer
from serving.text.tokenizer import ModelTokenizer

VOCABULARY = 49152
BYTES = range(17, 252)
"""The tokens of SmolLM2 that are one byte."""
END_OF_TURN = 2

any_token = st.integers(0, VOCABULARY - 1)
part_of_a_character = st.sampled_from(BYTES)
tokens = st.lists(st.one_of(any_token, part_of_a_character, st.just(END_OF_TURN)), max_size=60)
# U+FFFD itself is what must not appear; SmolLM2 has no tokens for the bytes of the planes that are hardly used.
characters = st.one_of(
    st.characters(max_codepoint=0x1FFFF, codec="utf-8", exclude_characters="\ufffd"),
    st.sampled_from("👩‍🚀🇫🇷你好 é\u0301\n'."),
)
texts = st.text(characters, max_size=40)


def encoded(tokenizer: ReferenceTokenizer, text: str) -> list[int]:
    """Tokens of a text that the tokenizer can say."""
    token_ids = tokenizer.encode(text).ids
    assume(tokenizer.decode(token_ids) == text)
    return token_ids


def pieces(detokenizer: Detokenizer, token_ids: Sequence[int]) -> list[str]:
    return [*(detokenizer.push(token_id) for token_id in token_ids), detokenizer.flush()]


@given(token_ids=tokens)
def test_the_pieces_of_any_tokens_are_together_the_text_of_all(
    smollm2_tokenizer: ModelTokenizer, reference_tokenizer: ReferenceTokenizer, token_ids: list[int]
) -> None:
    streamed = "".join(pieces(Detokenizer(smollm2_tokenizer.decode), token_ids))
    assert streamed == reference_tokenizer.decode(token_ids)


@given(prompt=texts, token_ids=tokens)
def test_what_stands_before_the_answer_is_not_part_of_it(
    smollm2_tokenizer: ModelTokenizer, reference_tokenizer: ReferenceTokenizer, prompt: str, token_ids: list[int]
) -> None:
    context = [*encoded(reference_tokenizer, prompt), END_OF_TURN]
    streamed = "".join(pieces(Detokenizer(smollm2_tokenizer.decode, context), token_ids))
    assert prompt + streamed == reference_tokenizer.decode([*context, *token_ids])


@given(text=texts)
def test_no_half_of_a_character_is_ever_sent(
    smollm2_tokenizer: ModelTokenizer, reference_tokenizer: ReferenceTokenizer, text: str
) -> None:
    streamed = pieces(Detokenizer(smollm2_tokenizer.decode), encoded(reference_tokenizer, text))
    assert "".join(streamed) == text
    assert not any("\ufffd" in piece for piece in streamed)


@given(text=texts)
def test_a_character_is_sent_with_the_token_that_completes_it(
    smollm2_tokenizer: ModelTokenizer, reference_tokenizer: ReferenceTokenizer, text: str
) -> None:
    token_ids = encoded(reference_tokenizer, text)
    detokenizer, sent = Detokenizer(smollm2_tokenizer.decode), ""
    for count, token_id in enumerate(token_ids, start=1):
        sent += detokenizer.push(token_id)
        assert sent == reference_tokenizer.decode(token_ids[:count]).rstrip("\ufffd")


@given(prompt=st.text("abc é", max_size=10), answer=st.text(st.sampled_from("abc é.你👩"), max_size=20))
def test_words_keep_their_spaces_and_characters_their_bytes_where_a_tokenizer_falls_back_to_bytes(
    byte_fallback_tokenizer: ReferenceTokenizer, prompt: str, answer: str
) -> None:
    tokenizer = byte_fallback_tokenizer
    # The tokenizer writes a space before every text and the decoder takes one away: a prompt of a letter keeps them.
    context = tokenizer.encode("a" + prompt).ids
    token_ids = tokenizer.encode(answer).ids
    streamed = pieces(Detokenizer(tokenizer.decode, context), token_ids)
    assert "".join(streamed) == (" " + answer if answer else "")
    assert not any("\ufffd" in piece for piece in streamed)


def test_a_first_word_without_a_prompt_has_no_leading_space(byte_fallback_tokenizer: ReferenceTokenizer) -> None:
    token_ids = byte_fallback_tokenizer.encode("abc a").ids
    assert pieces(Detokenizer(byte_fallback_tokenizer.decode), token_ids) == ["abc", " a", ""]


def test_the_work_for_a_token_does_not_grow_with_the_answer(smollm2_tokenizer: ModelTokenizer) -> None:
    longest = 0

    def decode(token_ids: Sequence[int]) -> str:
        nonlocal longest
        longest = max(longest, len(token_ids))
        return smollm2_tokenizer.decode(token_ids)

    detokenizer = Detokenizer(decode, range(100, 200))
    # An engine that ignores the end of a turn goes on with tokens that have no text.
    pieces(detokenizer, [504, *[END_OF_TURN] * 500, *range(1000, 1500)])
    assert longest <= 16


def test_bytes_that_will_never_be_text_are_not_held_back_for_ever(
    smollm2_tokenizer: ModelTokenizer, reference_tokenizer: ReferenceTokenizer
) -> None:
    (continuation,) = (token for token in BYTES if reference_tokenizer.id_to_token(token) == "Ģ")  # byte 0x80
    detokenizer = Detokenizer(smollm2_tokenizer.decode)
    sent = "".join(detokenizer.push(continuation) for _ in range(50))
    assert len(sent) >= 40
    assert sent + detokenizer.flush() == "\ufffd" * 50


def test_the_bytes_of_these_tests_are_bytes(reference_tokenizer: ReferenceTokenizer) -> None:
    assert all(len(reference_tokenizer.id_to_token(token) or "") == 1 for token in BYTES)
    assert sum(reference_tokenizer.decode([token]) == "\ufffd" for token in BYTES) > 100
