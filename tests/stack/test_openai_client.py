"""The real openai client against the real service: typed objects, typed errors."""

from __future__ import annotations

import concurrent.futures
import time
from typing import Any

import httpx
import openai
import pytest
from openai.types.chat import ChatCompletionChunk

from tests.stack.conftest import CHAT
from tests.stack.yard import CAPITAL, Yard

pytestmark = pytest.mark.stack

ENDLESS: Any = {
    "model": CHAT,
    "messages": [{"role": "user", "content": "Write a long story."}],
    "max_tokens": 1500,
    "seed": 1,
    "extra_body": {"ignore_eos": True},
}
"""It never ends by itself while a test looks: not at a story's end, and without drafts, which a seed excludes, 1,500
steps take more than 20 seconds."""


@pytest.fixture(scope="module")
def client(yard: Yard) -> openai.OpenAI:
    return yard.client(CHAT)


def test_chat(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model=CHAT, messages=[{"role": "user", "content": CAPITAL}], temperature=0, max_tokens=24
    )
    assert "Paris" in (answer.choices[0].message.content or "")
    assert answer.choices[0].finish_reason in ("stop", "length")
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_streaming_chat_gives_the_same_text_as_the_whole_answer(client: openai.OpenAI) -> None:
    messages = [{"role": "user", "content": CAPITAL}]
    whole = client.chat.completions.create(model=CHAT, messages=messages, temperature=0, max_tokens=24)  # type: ignore[arg-type]
    chunks: list[ChatCompletionChunk] = list(
        client.chat.completions.create(
            model=CHAT,
            messages=messages,  # type: ignore[arg-type]
            temperature=0,
            max_tokens=24,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage == whole.usage
    assert len(chunks) > 4, "the answer came in one piece"


def test_completions(client: openai.OpenAI) -> None:
    answer = client.completions.create(model=CHAT, prompt="The capital of Germany is", temperature=0, max_tokens=8)
    assert answer.choices[0].text.strip()
    assert answer.usage is not None
    assert answer.usage.completion_tokens <= 8


def test_an_answer_of_many_megabytes_comes_whole(yard: Yard) -> None:
    base = yard.endpoint(CHAT).removesuffix("/v1")
    word = " responsibilities"
    with httpx.Client(base_url=base, timeout=120, trust_env=False) as http:
        [token] = http.post("/tokenize", json={"prompt": word}).raise_for_status().json()["tokens"]
        count = 8 * 2**20 // len(word)
        answer = http.post("/detokenize", json={"tokens": [token] * count})
    assert answer.status_code == 200, answer.text[:300]
    assert answer.json()["prompt"] == word * count


def test_models(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == [CHAT]
    assert isinstance(client.models.retrieve(CHAT).created, int)


def test_an_unknown_model_is_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="gpt-5", messages=[{"role": "user", "content": "Hello"}])
    assert caught.value.code == "model_not_found"


def test_an_unsupported_parameter_is_refused_by_name(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=CHAT, messages=[{"role": "user", "content": "Hello"}], store=True)
    assert caught.value.param == "store"


def test_a_prompt_beyond_the_context_is_refused_with_both_numbers(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match=r"2048") as caught:
        client.completions.create(model=CHAT, prompt="word " * 5000)
    assert caught.value.code == "context_length_exceeded"


def test_stop_strings_end_the_answer(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model=CHAT, messages=[{"role": "user", "content": CAPITAL}], temperature=0, max_tokens=24, stop=["Paris"]
    )
    assert answer.choices[0].finish_reason == "stop"
    assert "Paris" not in (answer.choices[0].message.content or "")


def test_a_seed_makes_sampling_repeatable(client: openai.OpenAI) -> None:
    """One after the other: in bf16 the last bits of a row depend on the batch, so that only fp32 is the same in any."""

    def sample(seed: int) -> str:
        answer = client.chat.completions.create(
            model=CHAT, messages=[{"role": "user", "content": "Tell me a story."}], seed=seed, max_tokens=16
        )
        return answer.choices[0].message.content or ""

    assert sample(7) == sample(7)
    assert len({sample(seed) for seed in range(4)}) > 1, "the seed changes nothing"


def test_requests_are_answered_at_the_same_time(yard: Yard, client: openai.OpenAI) -> None:
    def ask(_: int) -> str | None:
        answer = client.chat.completions.create(
            model=CHAT, messages=[{"role": "user", "content": CAPITAL}], temperature=0, max_tokens=24
        )
        return answer.choices[0].message.content

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(8)))
    assert all("Paris" in (answer or "") for answer in answers), answers


def test_kaitos_chat_endpoint(yard: Yard) -> None:
    answer = httpx.post(
        f"{yard.record.serve_url}/{CHAT}/chat",
        json={"prompt": CAPITAL, "generate_kwargs": {"max_new_tokens": 24, "do_sample": False}},
        timeout=120,
    )
    assert answer.status_code == 200, answer.text
    assert "Paris" in answer.json()["Result"]


def test_a_client_that_leaves_stops_costing_compute(yard: Yard, client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(**ENDLESS, stream=True)
    next(iter(stream))
    assert running(yard) >= 1
    stream.close()
    assert soon_idle(yard), "the engine goes on for a client that is gone"


def test_a_client_that_gives_up_before_its_whole_answer_stops_costing_compute(
    yard: Yard, client: openai.OpenAI
) -> None:
    """Nothing has been sent to it yet, so that whatever stands in between has to notice the leaving by itself."""
    with pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=2).chat.completions.create(**ENDLESS)
    assert soon_idle(yard), "the engine goes on for a client that is gone"


def soon_idle(yard: Yard) -> bool:
    """Whether no request runs any more within 10 seconds."""
    end = time.monotonic() + 10
    while running(yard) and time.monotonic() < end:
        time.sleep(0.1)
    return running(yard) == 0


def running(yard: Yard) -> int:
    metrics = httpx.get(f"{yard.record.serve_url}/{CHAT}/metrics").text
    values = [line.rsplit(" ", 1)[1] for line in metrics.splitlines() if line.startswith("vllm:num_requests_running")]
    assert len(values) == 1, f"no such metric:\n{metrics}"
    return int(float(values[0]))


def test_the_other_endpoints_answer(yard: Yard) -> None:
    root = f"{yard.record.serve_url}/{CHAT}"
    assert httpx.get(f"{root}/health").status_code == 200
    assert httpx.get(f"{root}/version").json()["modelyard"]
    assert "/v1/chat/completions" in httpx.get(f"{root}/openapi.json").json()["paths"]
    assert f"/{CHAT}/openapi.json" in httpx.get(f"{root}/docs").text, "the page asks for the document at another path"
