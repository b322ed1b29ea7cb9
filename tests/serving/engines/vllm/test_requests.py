"""A request in vLLM's words, and its outputs in ours; the outputs here have the form of vLLM's."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from serving.engines.protocol import (
    EngineUnavailable,
    GenerationRequest,
    RequestFailed,
    Sampling,
    TokenChunk,
    TokenLogprobs,
)
from serving.engines.vllm_engine.requests import chunk_of, sampling_fields
from tests.serving.engines.vllm.stand_in import Completion


@dataclass
class Logprob:
    """As vllm.logprobs.Logprob."""

    logprob: float
    rank: int | None = None


def request(**fields: Any) -> GenerationRequest:
    return GenerationRequest(id="a", prompt_token_ids=(1,), max_tokens=10, **fields)


def test_a_request_that_says_nothing_changes_no_probability() -> None:
    assert sampling_fields(request()) == {
        "temperature": 1.0,
        "top_p": 1.0,
        "top_k": 0,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "logit_bias": None,
        "seed": None,
        "max_tokens": 10,
        "min_tokens": 0,
        "stop_token_ids": [],
        "ignore_eos": True,
        "logprobs": None,
    }


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"sampling": Sampling(temperature=0, top_k=5)}, {"temperature": 0, "top_k": 5}),
        ({"sampling": Sampling(top_p=0.5, min_p=0.1)}, {"top_p": 0.5, "min_p": 0.1}),
        (
            {"sampling": Sampling(presence_penalty=1, frequency_penalty=-1, repetition_penalty=1.2)},
            {"presence_penalty": 1, "frequency_penalty": -1, "repetition_penalty": 1.2},
        ),
        ({"sampling": Sampling(logit_bias={5: -100.0}, seed=3)}, {"logit_bias": {5: -100.0}, "seed": 3}),
        ({"stop_token_ids": frozenset({9, 2}), "min_tokens": 3}, {"stop_token_ids": [2, 9], "min_tokens": 3}),
        ({"min_tokens": 99}, {"min_tokens": 10}),
        ({"logprobs": 0}, {"logprobs": 0}),
    ],
)
def test_what_a_request_asks_for_is_what_vllm_is_told(fields: dict[str, Any], told: dict[str, Any]) -> None:
    assert sampling_fields(request(**fields)) == sampling_fields(request()) | told


@pytest.mark.parametrize(
    ("grammar", "told"),
    [
        ({"json_schema": {"type": "object"}}, {"json": '{"type": "object"}'}),
        ({"lark_grammar": "start: /a+/"}, {"grammar": "%llguidance {}\nstart: /a+/"}),
    ],
)
def test_a_grammar_is_told_in_the_field_that_vllm_hands_to_llguidance(grammar: Any, told: dict[str, str]) -> None:
    fields = sampling_fields(request(grammar=json.dumps({"grammars": [grammar]})))
    assert fields["structured_outputs"] == told


@pytest.mark.parametrize(
    ("grammar", "message"),
    [
        ("start: /a+/", "not llguidance's JSON"),
        ('{"grammars": [{"lark_grammar": "start: @b"}, {"name": "b", "json_schema": {}}]}', "vLLM takes one"),
        ('{"grammars": [{"structural": 1}]}', "structural"),
    ],
)
def test_a_grammar_that_vllm_cannot_be_told_is_refused(grammar: str, message: str) -> None:
    with pytest.raises(RequestFailed, match=message):
        sampling_fields(request(grammar=grammar))


def test_log_probabilities_are_those_of_the_tokens_that_are_returned() -> None:
    table = {4: Logprob(-3.0), 8: Logprob(-0.5), 9: Logprob(-1.5)}
    output = Completion((4, 2), "stop", [table, {2: Logprob(-0.1)}])
    chunk = chunk_of(output, request(stop_token_ids=frozenset({2}), logprobs=2))
    assert chunk == TokenChunk((4,), "stop", (TokenLogprobs(-3.0, ((8, -0.5), (9, -1.5))),))
    bare = chunk_of(output, request(stop_token_ids=frozenset({2}), logprobs=0))
    assert bare.logprobs == (TokenLogprobs(-3.0),)


@pytest.mark.parametrize(("finish", "error"), [("abort", EngineUnavailable), ("error", RequestFailed)])
def test_an_answer_that_vllm_breaks_off_is_no_answer(finish: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        chunk_of(Completion((1,), finish), request())
