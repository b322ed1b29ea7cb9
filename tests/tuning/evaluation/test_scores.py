"""Losses and answers of a real model."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tuning.evaluation import regression
from tuning.evaluation.answers import Answer, answers_to, exact_match, questions_of, rouge_l
from tuning.evaluation.held_out import loss_over

pytestmark = pytest.mark.slow

PARIS = {
    "prompt": [{"role": "user", "content": "What is the capital of France?"}],
    "completion": [{"role": "assistant", "content": "The capital of France is Paris."}],
}


@pytest.fixture(scope="module")
def model(smollm2_dir: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(smollm2_dir, dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def tokenizer(smollm2_dir: Path) -> Any:
    return AutoTokenizer.from_pretrained(smollm2_dir)


def ignored(_: int) -> None:
    pass


def test_the_loss_is_that_of_the_answer_and_not_of_the_question(model: Any, tokenizer: Any) -> None:
    likely = loss_over([PARIS], model, tokenizer, 128, ignored)
    unlikely = {**PARIS, "completion": [{"role": "assistant", "content": "Zebra hums quietly below granite."}]}
    assert loss_over([unlikely], model, tokenizer, 128, ignored).mean > likely.mean + 2
    answer = tokenizer("The capital of France is Paris.<|im_end|>\n", add_special_tokens=False)["input_ids"]
    assert likely.tokens == len(answer)
    assert likely.perplexity == pytest.approx(math.exp(likely.mean))


def test_a_conversation_counts_as_its_last_answer(model: Any, tokenizer: Any) -> None:
    conversation = {"messages": [*PARIS["prompt"], *PARIS["completion"]]}
    apart, together = (loss_over([row], model, tokenizer, 128, ignored) for row in (PARIS, conversation))
    assert apart == together


def test_text_counts_from_its_second_token_on_and_is_cut(model: Any, tokenizer: Any) -> None:
    text = {"text": "one two three four five six seven eight nine ten"}
    assert loss_over([text], model, tokenizer, 5, ignored).tokens == 4
    assert loss_over([PARIS], model, tokenizer, 5, ignored).tokens == 0, "the question alone is longer"


def test_general_questions_are_easy_for_a_model_that_knows_them(model: Any, tokenizer: Any) -> None:
    assert loss_over(regression.rows(has_template=True), model, tokenizer, 128, ignored).mean < 1.5


def test_a_model_answers_and_is_compared(model: Any, tokenizer: Any) -> None:
    [answer] = answers_to(questions_of([PARIS], tokenizer), model, tokenizer, ignored)
    assert "Paris" in answer.given
    assert 0 < rouge_l([answer]) <= 1


def test_word_for_word_is_without_blanks_and_capitals() -> None:
    same, other = Answer(question="", wanted="Ask Ada.", given="ask  ada. "), Answer(question="", wanted="a", given="b")
    assert exact_match([same, other]) == 0.5


def test_long_answers_are_not_asked_for(tokenizer: Any) -> None:
    long = {**PARIS, "completion": [{"role": "assistant", "content": "word " * 100}]}
    assert questions_of([long], tokenizer) == []
    assert questions_of([{"text": "plain"}], tokenizer) == []
