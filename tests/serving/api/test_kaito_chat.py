"""/chat, as users of KAITO call it."""

from __future__ import annotations

from typing import Any

import pytest

from presets.serve_config import SamplingDefaults
from serving.engines.protocol import Sampling
from tests.serving.api.service import Service


def chat(service: Service, **body: Any) -> str:
    answer = service.http.post("/chat", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json().keys() == {"Result"}
    return answer.json()["Result"]


def test_the_call_of_kaito_s_documentation_works(service: Service) -> None:
    service.says(" is warm")
    assert chat(service, prompt="Africa in summer") == "Africa in summer is warm"
    assert service.prompt_of() == "Africa in summer", "a plain prompt gets no chat template"
    prompt_tokens = len(service.engine.requests[0].prompt_token_ids)
    assert service.engine.requests[0].max_tokens == 200 - prompt_tokens, "KAITO's default of max_length"


def test_the_prompt_can_be_left_out_of_the_result(service: Service) -> None:
    service.says(" is warm")
    assert chat(service, prompt="Africa in summer", return_full_text=False) == " is warm"


def test_a_prefix_is_read_but_not_returned(service: Service) -> None:
    service.says(" warm")
    assert chat(service, prefix="Answer: ", prompt="It is") == "It is warm"
    assert service.prompt_of() == "Answer: It is"


def test_the_example_of_kaito_s_openapi_document_is_accepted(service: Service) -> None:
    kwargs = {
        "max_length": 100,
        "min_length": 0,
        "do_sample": True,
        "early_stopping": False,
        "num_beams": 1,
        "temperature": 0.7,
        "top_k": 10,
        "top_p": 0.9,
        "typical_p": 1,
        "repetition_penalty": 1.2,
        "pad_token_id": 2,
        "eos_token_id": 2,
    }
    chat(service, prompt="Hi", clean_up_tokenization_spaces=False, handle_long_generation=None, generate_kwargs=kwargs)
    (request,) = service.engine.requests
    assert request.sampling == Sampling(temperature=0.7, top_k=10, top_p=0.9, repetition_penalty=1.2)
    assert request.max_tokens == 99
    assert request.stop_token_ids == {2}


def test_without_sampling_the_likeliest_token_is_taken(service: Service) -> None:
    service.sampling = SamplingDefaults(temperature=0.9)
    chat(service, prompt="Hi", generate_kwargs={"do_sample": False, "max_new_tokens": 5})
    (request,) = service.engine.requests
    assert request.sampling.temperature == 0
    assert request.max_tokens == 5


def test_a_conversation_is_answered_with_the_answer(service: Service) -> None:
    service.says("Ketchup.")
    messages = [{"role": "user", "content": "What is your favourite condiment?"}]
    assert chat(service, messages=messages) == "Ketchup."
    assert service.prompt_of().endswith("<|im_start|>assistant\n")


@pytest.mark.parametrize(
    ("body", "param", "says"),
    [
        ({}, "prompt", "either 'prompt'"),
        ({"prompt": "Hi", "messages": [{"role": "user", "content": "Hi"}]}, "prompt", "either 'prompt'"),
        ({"prompt": ""}, "prompt", "empty"),
        ({"prompt": "Hi", "generate_kwargs": {"num_beams": 4}}, "generate_kwargs.num_beams", "not searched"),
        ({"prompt": "Hi", "generate_kwargs": {"no_repeat_ngram_size": 2}}, "generate_kwargs.no_repeat_ngram_size", ""),
        ({"prompt": "Hi", "generate_kwargs": {"repetition_penalty": 0}}, "generate_kwargs.repetition_penalty", "0.01"),
        ({"prompt": "word " * 250}, "generate_kwargs.max_length", "has 251 tokens, but prompt and answer together"),
        ({"prompt": "word " * 600}, "prompt", "the prompt alone has 601"),
        ({"prefix": "A", "messages": [{"role": "user", "content": "Hi"}]}, "prefix", "system role"),
        ({"prompt": "Hi", "generate_kwargs": {"eos_token_id": True}}, "generate_kwargs.eos_token_id[0]", "integer"),
        ({"prompt": "Hi", "generate_kwargs": {"max_length": 9999}}, "prompt", "512"),
        ({"prompt": "Hi", "clean_up_tokenization_spaces": True}, "clean_up_tokenization_spaces", "not altered"),
    ],
    ids=[
        "nothing",
        "both",
        "no text",
        "beams",
        "unknown",
        "penalty",
        "too long for 200",
        "too long at all",
        "prefix of a conversation",
        "no token",
        "too much",
        "clean up",
    ],
)
def test_what_cannot_be_done_is_refused(service: Service, body: dict[str, Any], param: str, says: str) -> None:
    answer = service.http.post("/chat", json=body)
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert error["param"] == param
    assert says in error["message"]
    assert service.engine.requests == []
