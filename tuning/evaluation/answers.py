"""What a model answers to held-out questions, beside what it should."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from rouge_score.rouge_scorer import RougeScorer
from transformers import PreTrainedTokenizerBase

from tuning.data.rows import Row
from tuning.evaluation.held_out import question_and_answer

MOST_TOKENS = 64
"""Of an answer that is generated. Where the half of them is longer, word for word says little, and takes long."""
MOST_QUESTIONS = 50


@dataclass(frozen=True, kw_only=True)
class Answer:
    question: str
    wanted: str
    given: str


def questions_of(rows: Sequence[Row], tokenizer: PreTrainedTokenizerBase) -> list[tuple[Any, str]]:
    """Those that are asked, with their answers; none where answers are long."""
    pairs = [pair for row in rows if (pair := question_and_answer(row)) is not None][:MOST_QUESTIONS]
    lengths = [len(tokenizer(wanted, add_special_tokens=False)["input_ids"]) for _, wanted in pairs]
    return pairs if lengths and statistics.median(lengths) <= MOST_TOKENS else []


@torch.no_grad()
def answers_to(
    questions: Sequence[tuple[Any, str]],
    model: Any,  # noqa: ANN401 - a model with or without an adapter
    tokenizer: PreTrainedTokenizerBase,
    tell: Callable[[int], None],
) -> list[Answer]:
    """The likeliest ones. One after the other: padding would change them a little."""
    answers: list[Answer] = []
    for number, (question, wanted) in enumerate(questions, 1):
        asked = str(
            question
            if isinstance(question, str)
            else tokenizer.apply_chat_template(question, tokenize=False, add_generation_prompt=True)
        )
        ids = torch.tensor([tokenizer(asked, add_special_tokens=False)["input_ids"]], device=model.device)
        made = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=MOST_TOKENS,
            do_sample=False,
            use_cache=True,
            pad_token_id=tokenizer.pad_token_id,
        )
        given = str(tokenizer.decode(made[0, ids.shape[1] :], skip_special_tokens=True))
        text = question if isinstance(question, str) else str(question[-1]["content"])
        answers.append(Answer(question=text, wanted=wanted.strip(), given=given.strip()))
        tell(number)
    return answers


def exact_match(answers: Sequence[Answer]) -> float:
    """Part of the answers that are word for word what they should be, but for blanks and capitals."""
    return sum(_plain(each.given) == _plain(each.wanted) for each in answers) / len(answers)


def rouge_l(answers: Sequence[Answer]) -> float:
    """Mean F1 of the longest common subsequence of words, rouge-score's rougeL."""
    scorer = RougeScorer(["rougeL"], use_stemmer=False)
    return sum(scorer.score(each.wanted, each.given)["rougeL"].fmeasure for each in answers) / len(answers)


def _plain(text: str) -> str:
    return " ".join(text.lower().split())
