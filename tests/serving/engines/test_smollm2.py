"""The real model of the dev stack, in bfloat16 as it is served."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from pydantic import BaseModel, ConfigDict, Field
from transformers import AutoTokenizer

from serving.engines.protocol import Sampling
from serving.engines.transformers_engine.engine import TransformersEngine
from serving.engines.transformers_engine.loading import load_model
from serving.engines.transformers_engine.warmup import warm_up
from serving.grammars import ANY_JSON_OBJECT, grammar_of, json_of
from tests.serving.engines.driving import request, run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def engine(smollm2_dir: Path) -> TransformersEngine:
    model = load_model(
        smollm2_dir, dtype="bfloat16", device=torch.device("cpu"), max_context=512, trust_remote_code=False
    )
    return TransformersEngine(model, max_sequences=8, max_context=512, model_dir=smollm2_dir)


def prompt_of(tokenizer: Any, question: str) -> tuple[int, ...]:
    messages = [{"role": "user", "content": question}]
    return tuple(tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)["input_ids"])


def ask(engine: TransformersEngine, smollm2_dir: Path, question: str) -> str:
    tokenizer = AutoTokenizer.from_pretrained(smollm2_dir)
    answers = run(engine, request("a", prompt_of(tokenizer, question), 16, stop=frozenset({tokenizer.eos_token_id})))
    assert answers.finish["a"] == "stop"
    return tokenizer.decode(answers.tokens["a"])


@pytest.mark.parametrize(
    ("question", "answer"),
    # both have a wide margin; "What is the capital of France?" is a near tie in bfloat16 and shows nothing
    [("Complete the sentence: The capital of France is", "Paris"), ("What is the capital of Germany?", "Berlin")],
)
def test_it_knows_its_capitals(engine: TransformersEngine, smollm2_dir: Path, question: str, answer: str) -> None:
    assert answer in ask(engine, smollm2_dir, question)


def test_its_first_steps_agree_with_transformers_to_the_rounding_of_bfloat16(engine: TransformersEngine) -> None:
    assert 0 < warm_up(engine) < 0.1


TRIES = 20


class Person(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field(max_length=12)
    age: int = Field(ge=0, le=130)
    job: Literal["baker", "pilot", "nurse"]


def test_every_answer_at_temperature_one_is_what_its_schema_says(engine: TransformersEngine, smollm2_dir: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(smollm2_dir)
    stop = frozenset({tokenizer.eos_token_id})
    ids = prompt_of(tokenizer, "Describe a person as JSON.")
    grammar = asyncio.run(grammar_of(f"start: {json_of(Person.model_json_schema())}"))
    tries = [replace(request(str(seed), ids, 400, Sampling(seed=seed), stop), grammar=grammar) for seed in range(TRIES)]
    answers = run(engine, *tries)
    people = [Person.model_validate_json(tokenizer.decode(answers.tokens[one.id])) for one in tries]
    assert set(answers.finish.values()) == {"stop"}
    assert len({person.name for person in people}) > 1, "a grammar leaves no choice at all"


def test_any_object_may_be_cut_but_is_one_when_it_ends(engine: TransformersEngine, smollm2_dir: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(smollm2_dir)
    grammar = asyncio.run(grammar_of(f"start: {json_of(ANY_JSON_OBJECT)}"))
    ids = prompt_of(tokenizer, "Give me the capital of France as a JSON object.")
    asked = request("a", ids, 60, stop=frozenset({tokenizer.eos_token_id}))
    answers = run(engine, replace(asked, grammar=grammar))
    text = tokenizer.decode(answers.tokens["a"])
    assert text.startswith("{")
    if answers.finish["a"] == "stop":
        assert isinstance(json.loads(text), dict)
