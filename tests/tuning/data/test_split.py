"""Which rows are held out."""

from __future__ import annotations

from typing import Any

import pytest

from tests.tuning.data.yard import Yard, jsonl, report_of
from tuning.data import Row


def texts(count: int) -> str:
    return jsonl(*({"text": f"row {number}"} for number in range(count)))


def numbers(rows: tuple[Row, ...]) -> list[int]:
    return [int(row["text"].removeprefix("row ")) for row in rows]


@pytest.mark.parametrize(
    ("count", "train_split", "split", "held_out"),
    [
        (100, 1.0, 0.1, 10),
        (100, 0.8, 0.1, 20),
        (100, 1.0, 0.0, 0),
        (100, 0.8, 0.0, 20),
        (2, 1.0, 0.01, 1),
        (2, 1.0, 0.99, 1),
        (1, 1.0, 0.0, 0),
    ],
)
def test_as_many_rows_are_held_out_as_are_asked_for(
    yard: Yard, count: int, train_split: float, split: float, held_out: int
) -> None:
    data = yard.loaded("a.jsonl", texts(count), {"train_split": train_split}, evaluation={"split": split})
    assert len(data.held_out) == held_out
    assert sorted(numbers(data.train + data.held_out)) == list(range(count)), "a row is lost or there twice"


def test_the_same_seed_gives_the_same_split_and_another_one_another(yard: Yard) -> None:
    def loaded(**data: Any) -> tuple[list[int], list[int]]:
        found = yard.loaded("a.jsonl", texts(50), {"shuffle": True} | data, evaluation={"split": 0.2})
        return numbers(found.train), numbers(found.held_out)

    assert loaded() == loaded()
    assert loaded() != loaded(shuffle_seed=7)
    train, held_out = loaded()
    assert train != sorted(train)
    assert held_out != list(range(40, 50))
    assert loaded(shuffle=False) == (list(range(40)), list(range(40, 50)))


def test_rows_that_are_there_twice_are_trained_on_and_never_held_out(yard: Yard) -> None:
    content = texts(6) + texts(4)
    for seed in range(5):
        data = yard.loaded("a.jsonl", content, {"shuffle": True, "shuffle_seed": seed}, evaluation={"split": 0.5})
        assert sorted(numbers(data.held_out)) == [4, 5]
        assert len(data.train) == 8
        assert report_of(data)["duplicates"] == 4
        assert "4 rows are exact duplicates" in data.summary


@pytest.mark.parametrize(
    ("content", "told"), [(texts(1), "there is one row alone"), (texts(3) + texts(3), "are there more than once")]
)
def test_too_few_rows_to_hold_one_out_are_told(yard: Yard, content: str, told: str) -> None:
    error = yard.refused({"directory": str(yard.file("a.jsonl", content))}, evaluation={"split": 0.1})
    assert error.reason == "DataTooFew"
    assert told in error.message
    assert "evaluation.split" in error.message
