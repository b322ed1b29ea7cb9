"""The real model of the dev stack, in bfloat16 as it is served."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer

from serving.engines.transformers_engine.engine import TransformersEngine
from serving.engines.transformers_engine.loading import load_model
from serving.engines.transformers_engine.warmup import warm_up
from tests.serving.engines.driving import request, run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def engine(smollm2_dir: Path) -> TransformersEngine:
    model = load_model(
        smollm2_dir, dtype="bfloat16", device=torch.device("cpu"), max_context=512, trust_remote_code=False
    )
    return TransformersEngine(model, max_sequences=4, max_context=512)


def ask(engine: TransformersEngine, smollm2_dir: Path, question: str) -> str:
    tokenizer = AutoTokenizer.from_pretrained(smollm2_dir)
    messages = [{"role": "user", "content": question}]
    ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)["input_ids"]
    answers = run(engine, request("a", tuple(ids), 16, stop=frozenset({tokenizer.eos_token_id})))
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
