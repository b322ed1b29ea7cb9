"""docs/api.md says what the code does: parameters, codes, metrics, endpoints; and its examples run."""

from __future__ import annotations

import contextlib
import io
import json
import re
import subprocess
from typing import Any, get_args

import pytest
from openai.types.chat import ChatCompletion
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from serving.api.chat.protocol import ChatRequest, GenerateKwargs
from serving.api.chat_completions.protocol import ChatCompletionRequest
from serving.api.completions.protocol import CompletionRequest
from serving.api.detokenize.protocol import DetokenizeRequest
from serving.api.embeddings.protocol import EmbeddingRequest
from serving.api.error_codes import ErrorCode
from serving.api.errors import ErrorBody
from serving.api.fields import WITHOUT_EFFECT, Unsupported
from serving.api.key_usage.protocol import KeyUsageList
from serving.api.responses.protocol import ResponseRequest
from serving.api.tokenize.protocol import TokenizeRequest
from serving.callers.callers import Callers
from serving.engines.protocol import TokenChunk
from serving.metrics import ServiceMetrics
from tests.docs.pages import page
from tests.serving.api.conftest import ServeTools
from tests.serving.api.scripted_engine import ScriptedEngine
from tests.serving.api.service import Service

API = page("docs/api.md")
ADDRESS = "http://127.0.0.1:8000/smollm2"

REQUESTS: dict[str, type[BaseModel]] = {
    "### POST /v1/chat/completions": ChatCompletionRequest,
    "### POST /v1/completions": CompletionRequest,
    "### POST /v1/responses": ResponseRequest,
    "### POST /v1/embeddings": EmbeddingRequest,
    "### POST /tokenize": TokenizeRequest,
    "### POST /detokenize": DetokenizeRequest,
    "### POST /chat": ChatRequest,
    "#### generate_kwargs": GenerateKwargs,
}


def rows(heading: str) -> list[list[str]]:
    """The rows of the table below a heading."""
    section = re.split(r"\n#+ ", f"\n{API.prose}".partition(f"\n{heading}\n")[2])[0]
    table = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" |")] for line in table[2:]]


def code(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def kind_of(field: FieldInfo) -> str:
    if unsupported_of(field):
        return "refused"
    return "no effect" if field.description == WITHOUT_EFFECT else "works"


def unsupported_of(field: FieldInfo) -> Unsupported | None:
    return next((mark for mark in field.metadata if isinstance(mark, Unsupported)), None)


@pytest.mark.parametrize("heading", REQUESTS)
def test_each_parameter_is_described_as_what_it_is(heading: str) -> None:
    documented = [(name, here) for names, here, _ in rows(heading) for name in code(names)]
    actual = [(name, kind_of(field)) for name, field in REQUESTS[heading].model_fields.items()]
    assert sorted(documented) == sorted(actual)


@pytest.mark.parametrize("heading", REQUESTS)
def test_the_values_that_ask_for_nothing_are_those_that_are_taken(heading: str) -> None:
    fields = REQUESTS[heading].model_fields
    for names, here, values in rows(heading):
        for name in code(names) if here == "refused" else []:
            mark = unsupported_of(fields[name])
            assert mark is not None
            assert [json.loads(value) for value in code(values)] == list(mark.neutral), name


def test_every_code_of_an_error_is_explained() -> None:
    documented = [code(name)[0] for name, _, _ in rows("## Errors")]
    assert sorted(documented) == sorted(get_args(ErrorCode))


def test_every_metric_is_explained() -> None:
    metrics = ServiceMetrics()
    metrics.observe_engine(ScriptedEngine(), "chat")
    metrics.observe_callers(Callers("chat"))
    actual = [
        (family.name + ("_total" if family.type == "counter" else ""), family.type)
        for family in metrics.registry.collect()
    ]
    assert [(code(name)[0], kind) for name, kind, _, _ in rows("## Metrics")] == actual


def test_every_endpoint_is_listed(service: Service) -> None:
    paths = service.http.get("/openapi.json").json()["paths"]
    actual = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
    assert {code(endpoint)[0] for endpoint, _ in rows("# HTTP API")} == actual


def test_schemas_have_names_that_people_can_read(service: Service) -> None:
    names = service.http.get("/openapi.json").json()["components"]["schemas"]
    assert [name for name in names if not name.isalnum()] == [], (
        "two models of one name, or one that is not sent as read"
    )


def test_the_answers_shown_are_answers() -> None:
    shown = {block.mark: json.loads(block.text) for block in API.blocks if block.language == "json"}
    assert ChatCompletion.model_validate(shown["chat.completion"], strict=True).choices[0].finish_reason == "stop"
    assert KeyUsageList.model_validate(shown["usage"], strict=True).data[0].total_tokens == 468 + 84
    assert ErrorBody.model_validate(shown["error"]).error.code == "unsupported_parameter"


@pytest.mark.parametrize(
    "command", [block.text for block in API.blocks if block.language == "sh"], ids=["chat", "completions", "kaito"]
)
def test_the_examples_for_a_shell_run(service: Service, command: str) -> None:
    service.says(" Paris")
    command = command.replace(ADDRESS, service.url)
    answer: dict[str, Any] = json.loads(subprocess.run(["sh", "-c", command], capture_output=True, check=True).stdout)
    assert "Paris" in json.dumps(answer)
    assert "error" not in answer


def test_the_example_for_python_runs(service: Service) -> None:
    service.says("Paris")
    assert printed_by("", service) == "Paris\nParisunsupported_parameter store\n"
    assert service.engine.requests[1].sampling.top_k == 40


def test_the_example_of_calls_runs(serve_tools: ServeTools) -> None:
    with serve_tools() as service:
        call = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n</tool_call>'
        says = iter((call, "It is sunny."))
        service.engine.script = lambda _: [TokenChunk(tuple(service.tokens(next(says)))), TokenChunk((), "stop")]
        assert printed_by("responses", service) == "It is sunny.\n"
        assert "Sunny in Paris" in service.prompt_of()


def printed_by(mark: str, service: Service) -> str:
    """What the example for Python with this mark prints."""
    (example,) = (block.text for block in API.blocks if block.language == "python" and block.mark == mark)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        # The client is the example's own, and closed with it.
        exec(compile(example.replace(ADDRESS, service.url), "docs/api.md", "exec"), namespace := {})
    namespace["client"].close()
    return printed.getvalue()
