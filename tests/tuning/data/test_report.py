"""What is said of the data."""

from __future__ import annotations

from typing import cast

import pytest
from transformers import BatchEncoding

from tests.tuning.data.yard import Yard, jsonl, report_of
from tuning.data import lengths


def talk(*contents: str) -> list[dict[str, str]]:
    roles = ("user", "assistant") * len(contents)
    return [{"role": role, "content": content} for role, content in zip(roles, contents, strict=False)]


def tokens_of(yard: Yard, messages: list[dict[str, str]]) -> int:
    """As the model gets it."""
    encoded = cast("BatchEncoding", yard.tokenizer.apply_chat_template(messages, tokenize=True, return_dict=True))
    return len(cast("list[int]", encoded["input_ids"]))


def test_tokens_are_those_of_the_chat_template(yard: Yard) -> None:
    talks = [talk("Hi", "Ahoy " * count) for count in range(1, 41)]
    data = yard.loaded("a.jsonl", jsonl(*({"messages": each} for each in talks)), max_length=60)
    counts = sorted(tokens_of(yard, each) for each in talks)
    found = report_of(data)
    assert found["tokens"] == {
        "rows": 40,
        "total": sum(counts),
        "mean": round(sum(counts) / 40, 1),
        "p95": counts[38],
        "longest": counts[-1],
        "max_length": 60,
        "truncated": sum(count > 60 for count in counts),
        "truncated_share": round(sum(count > 60 for count in counts) / 40, 4),
        "sampled": False,
    }
    assert [row["row"] for row in found["longest"]] == [40, 39, 38, 37, 36]
    assert "are cut at max_length, 60 tokens (longest: rows 40, 39, 38, 37, 36)" in data.summary
    assert yard.said[-1] == data.summary == found["summary"]


def test_plain_text_ends_with_a_token_of_its_own(yard: Yard) -> None:
    data = yard.loaded("a.jsonl", jsonl({"text": "Ahoy there"}))
    assert report_of(data)["tokens"]["total"] == len(
        yard.tokenizer("Ahoy there" + str(yard.tokenizer.eos_token))["input_ids"]
    )


def test_blank_rows_are_left_out_with_their_numbers(yard: Yard) -> None:
    rows = [{"prompt": "Hi", "completion": answer} for answer in ("Ahoy", "", "Arr", " \n", None, "Aye")]
    data = yard.loaded("a.jsonl", jsonl(*rows, {"prompt": "", "completion": "alone"}))
    found = report_of(data)
    assert [row["row"] for row in found["empty"]["rows"]] == [2, 4, 5]
    assert found["rows"] == 4
    assert found["blank_contents"] == 1
    assert "3 left out as blank (rows 2, 4, 5)" in data.summary
    assert "blank contents among what is not learned: 1" in data.summary


def test_a_row_of_200000_tokens_is_kept_and_told(yard: Yard) -> None:
    data = yard.loaded("a.jsonl", jsonl({"text": "short"}, {"text": "word " * 200_000}))
    found = report_of(data)
    assert found["tokens"]["longest"] >= 200_000
    assert found["tokens"]["truncated_share"] == 0.5
    assert len(data.train) == 2
    assert "50.0% of the rows are cut at max_length, 512 tokens (longest: row 2)" in data.summary


@pytest.mark.parametrize("as_conversation", [False, True])
def test_a_question_that_leaves_no_room_is_left_out(yard: Yard, as_conversation: bool) -> None:
    contents = [("Hi", "Ahoy"), ("word " * 300, "lost"), ("Hi", "word " * 300)]
    rows = [
        {"messages": talk(*each)} if as_conversation else dict(zip(("prompt", "completion"), each, strict=True))
        for each in contents
    ]
    data = yard.loaded("a.jsonl", jsonl(*rows), max_length=100)
    found = report_of(data)
    assert found["question_too_long"] == {"count": 1, "rows": [{"file": str(yard.root / "a.jsonl"), "row": 2}]}
    assert len(data.train) == 2
    assert "1 left out as the question alone takes max_length (row 2)" in data.summary
    kept = yard.loaded("a.jsonl", jsonl(*rows), max_length=100, assistant_only_loss=False)
    assert len(kept.train) == 3, "questions are learned as well"


def test_questions_that_leave_no_room_in_any_row_are_told(yard: Yard) -> None:
    path = yard.file("a.jsonl", jsonl({"prompt": "word " * 300, "completion": "lost"}))
    error = yard.refused({"directory": str(path)}, max_length=100)
    assert error.reason == "DataTooLong"
    assert "100 tokens" in error.message


def test_tokens_of_many_rows_are_counted_in_a_sample(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lengths, "SAMPLE", 50)
    rows = [{"prompt": "Hi", "completion": "Ahoy"}] * 300 + [{"prompt": "word " * 300, "completion": "lost"}] * 3
    data = yard.loaded("a.jsonl", jsonl(*rows), max_length=100)
    found = report_of(data)
    assert found["tokens"]["sampled"]
    assert "counted in 50 rows drawn at random" in data.summary
    assert found["question_too_long"]["count"] == 3, "rows outside of the sample are not looked at"
    assert found["tokens"]["total"] == 300 * tokens_of(yard, talk("Hi", "Ahoy"))


def test_rows_of_several_files_are_named_with_their_file(yard: Yard) -> None:
    yard.file("d/a.csv", "prompt,completion\nHi,\nHi,Ahoy\n")
    yard.file("d/b.csv", "prompt,completion\nHi,Ahoy\nHi,\n")
    data = yard.load({"directory": str(yard.root / "d")})
    assert f"2 left out as blank (row 1 of {yard.root}/d/a.csv, row 2 of {yard.root}/d/b.csv)" in data.summary
    assert [file["name"] for file in report_of(data)["files"]] == [f"{yard.root}/d/a.csv", f"{yard.root}/d/b.csv"]
