"""Rows as trl's trainer takes them, with the tokens that are to be learnt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, cast

import datasets
import jinja2
from transformers import PreTrainedTokenizerBase
from trl.chat_template_utils import get_training_chat_template, has_generation_markers

from presets.tuning_job import TuningJob
from tuning.data.rows import Data

NOT_LEARNT = -100
"""Label of a token that adds nothing to the loss: ignore_index of torch's cross_entropy, and trl's word for it."""


@dataclass(frozen=True, kw_only=True)
class Examples:
    """What the trainer is given."""

    rows: datasets.Dataset
    assistant_only: bool
    """Whether trl is to find the answers by the chat template's {% generation %}."""
    remark: str = ""
    """What people should know of it, if anything."""


def examples(job: TuningJob, data: Data, tokenizer: PreTrainedTokenizerBase) -> Examples:
    """trl masks questions itself where rows have them apart, or where the chat template marks the answers.

    Few templates do. For the others answers are found by rendering a conversation up to each of them; where that is no
    beginning of the whole, as with templates that shorten earlier turns, trl's own copy of the template marks them,
    if it has one. Else all of the text is learnt, which the remark says.
    """
    rows = datasets.Dataset.from_list([dict(row) for row in data.train])
    if data.kind != "conversation" or not job.assistant_only_loss:
        return Examples(rows=rows, assistant_only=False)
    if has_generation_markers(tokenizer.chat_template):
        return Examples(rows=rows, assistant_only=True)
    masked = list(takewhile(bool, (answers_masked(row["messages"], tokenizer) for row in data.train)))
    if len(masked) == len(data.train):
        return Examples(rows=datasets.Dataset.from_list(cast("list[dict[str, Any]]", masked)), assistant_only=False)
    try:
        get_training_chat_template(tokenizer)
    except ValueError:
        remark = "the chat template does not tell answers from questions, so that both are learnt"
        return Examples(rows=rows, assistant_only=False, remark=remark)
    return Examples(rows=rows, assistant_only=True)


def answers_masked(
    messages: Sequence[dict[str, str]], tokenizer: PreTrainedTokenizerBase
) -> dict[str, list[int]] | None:
    """input_ids of a conversation and labels, which are the assistant's tokens with what ends a turn.

    None where the text up to an answer is not how the whole conversation begins, or the tokenizer does not tell where
    in the text its tokens stand.
    """
    if not tokenizer.is_fast:
        return None
    whole = _rendered(messages, tokenizer)
    answers: list[tuple[int, int]] = []
    for number, message in enumerate(messages):
        if message["role"] == "assistant":
            try:
                before = _rendered(messages[:number], tokenizer, generate=True) if number else ""
                until = _rendered(messages[: number + 1], tokenizer)
            except jinja2.TemplateError:  # a template may refuse a conversation that is not ended
                return None
            if not (until.startswith(before) and whole.startswith(until)):
                return None
            answers.append((len(before), len(until)))
    encoded = tokenizer(whole, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    ids = cast("list[int]", encoded["input_ids"])
    places = cast("list[tuple[int, int]]", encoded["offset_mapping"])
    labels = [
        token if any(start <= first and last <= end for start, end in answers) else NOT_LEARNT
        for token, (first, last) in zip(ids, places, strict=True)
    ]
    return {"input_ids": ids, "labels": labels}


def _rendered(messages: Sequence[dict[str, str]], tokenizer: PreTrainedTokenizerBase, *, generate: bool = False) -> str:
    return cast("str", tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=generate))
