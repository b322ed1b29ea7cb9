"""The loss of rows, over the tokens that are to be learnt."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from tuning.data.rows import Row


@dataclass(frozen=True, kw_only=True)
class Loss:
    """Mean negative log-likelihood of a token, in nats."""

    mean: float
    tokens: int

    @property
    def perplexity(self) -> float:
        return math.exp(min(self.mean, 700.0))


@torch.no_grad()
def loss_over(
    rows: Sequence[Row],
    model: Any,  # noqa: ANN401 - a model with or without an adapter
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    tell: Callable[[int], None],
) -> Loss:
    """`tell` is called with the number of rows that are done. Rows are cut at `max_length` tokens, as for training."""
    total, tokens = 0.0, 0
    for number, row in enumerate(rows, 1):
        ids, learnt_from = _tokens(row, tokenizer)
        ids = ids[:max_length]
        if len(ids) > max(learnt_from, 1):
            given = torch.tensor([ids], device=model.device)
            logits = model(input_ids=given, attention_mask=torch.ones_like(given)).logits[0, :-1].float()
            each = torch.nn.functional.cross_entropy(logits, given[0, 1:], reduction="none")
            learnt = each[max(learnt_from, 1) - 1 :]
            total += float(learnt.sum())
            tokens += len(learnt)
        tell(number)
    return Loss(mean=total / tokens if tokens else math.nan, tokens=tokens)


def _tokens(row: Row, tokenizer: PreTrainedTokenizerBase) -> tuple[list[int], int]:
    """The row's tokens, and how many of them are asked before the answer that is learnt."""
    question, answer = _parts(row)
    if answer is None:
        return _ids(tokenizer, question, add_special_tokens=True), 0
    if isinstance(question, str):
        asked = _ids(tokenizer, question)
        return asked + _ids(tokenizer, str(answer)) + _end(tokenizer), len(asked)
    asked = _ids(tokenizer, tokenizer.apply_chat_template(question, tokenize=False, add_generation_prompt=True))
    whole = _ids(tokenizer, tokenizer.apply_chat_template([*question, *answer], tokenize=False))
    return whole, len(asked)


def _end(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    end = tokenizer.eos_token_id
    return [end] if isinstance(end, int) else []


def _parts(row: Row) -> tuple[Any, Any]:
    """What is asked and what is answered; of a conversation its last answer. None: there is nothing but text."""
    if "text" in row:
        return row["text"], None
    if "messages" in row:
        return list(row["messages"][:-1]), [row["messages"][-1]]
    return row["prompt"], row["completion"]


def question_and_answer(row: Row) -> tuple[Any, str] | None:
    """What is asked, a text or messages, and the text that should be answered; None for plain text."""
    question, answer = _parts(row)
    if answer is None or not question:
        return None
    return question, answer if isinstance(answer, str) else str(answer[-1]["content"])


def _ids(tokenizer: PreTrainedTokenizerBase, text: Any, add_special_tokens: bool = False) -> list[int]:  # noqa: ANN401
    return list(tokenizer(str(text), add_special_tokens=add_special_tokens, verbose=False)["input_ids"])
