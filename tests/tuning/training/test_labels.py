"""Which tokens of a conversation are learnt, through chat templates of several kinds."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from tests.tuning.jobs import job
from tuning.data.rows import Data
from tuning.training.labels import NOT_LEARNT, Examples, examples

CHAT = [
    {"role": "user", "content": "Who looks after the ferry?"},
    {"role": "assistant", "content": "Ada Quill."},
    {"role": "user", "content": "And the radio?"},
    {"role": "assistant", "content": "Petra Lund."},
]
MARKED = (
    "{% for message in messages %}{{ message['role'] + ': ' }}{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] + eos_token }}{% endgeneration %}{% else %}"
    "{{ message['content'] }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
)
LAST_IN_CAPITALS = (
    "{% for message in messages %}{{ message['content'] | upper if loop.last else message['content'] }}{% endfor %}"
)


@pytest.fixture
def tokenizer(smollm2_dir: Path) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(smollm2_dir)


def given(tokenizer: PreTrainedTokenizerBase, directory: Path, *, assistant_only: bool = True) -> Examples:
    asked = job(directory, assistant_only_loss=assistant_only)
    rows = ({"messages": CHAT},)
    data = Data(
        kind="conversation", train=rows, held_out=(), digests={}, report=directory / "data-report.json", summary=""
    )
    return examples(asked, data, tokenizer)


def test_every_answer_is_learnt_with_its_end_and_no_question(
    tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    made = given(tokenizer, tmp_path)
    assert not made.remark
    row = made.rows.to_list()[0]
    learnt = [token for token in row["labels"] if token != NOT_LEARNT]
    assert tokenizer.decode(learnt) == "Ada Quill.<|im_end|>\nPetra Lund.<|im_end|>\n"
    whole = cast("str", tokenizer.apply_chat_template(CHAT, tokenize=False))
    assert tokenizer.decode(row["input_ids"]) == whole


def test_a_template_that_marks_answers_is_left_to_trl(tokenizer: PreTrainedTokenizerBase, tmp_path: Path) -> None:
    tokenizer.chat_template = MARKED
    made = given(tokenizer, tmp_path)
    assert made.assistant_only
    assert made.rows.column_names == ["messages"]


def test_where_answers_cannot_be_found_all_is_learnt_and_that_is_told(
    tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    tokenizer.chat_template = LAST_IN_CAPITALS
    made = given(tokenizer, tmp_path)
    assert not made.assistant_only
    assert made.rows.column_names == ["messages"]
    assert "both are learnt" in made.remark


def test_all_is_learnt_where_that_is_asked(tokenizer: PreTrainedTokenizerBase, tmp_path: Path) -> None:
    made = given(tokenizer, tmp_path, assistant_only=False)
    assert made.rows.column_names == ["messages"]
    assert not made.remark
