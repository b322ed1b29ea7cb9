"""A service with a scripted engine and the real tokenizer of SmolLM2."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from tokenizers import Tokenizer as ReferenceTokenizer

from serving.text.reasoning import REASONING_FORMATS
from serving.text.tokenizer import ModelTokenizer, load_tokenizer
from serving.tools.formats import TOOL_FORMATS
from tests.serving.api.service import Server, Service, running_server

TOOL_TEMPLATE = """{% if tools %}<|im_start|>system
{{ tools | tojson }}<|im_end|>
{% endif %}{% for turn in messages %}<|im_start|>{{ turn.role }}
{{ turn.content }}{% for call in turn.tool_calls or [] %}
{{ call.function.name }}({{ call.function.arguments | tojson }}){% endfor %}<|im_end|>
{% endfor %}<|im_start|>assistant
{% if enable_thinking is defined %}<think>
{% if not enable_thinking %}
</think>

{% endif %}{% endif %}"""
"""Shorter than those of real models, with all that they have."""


@pytest.fixture(scope="session")
def smollm2_tokenizer(smollm2_dir: Path) -> ModelTokenizer:
    return load_tokenizer(smollm2_dir)


@pytest.fixture(scope="session")
def reference_tokenizer(smollm2_dir: Path) -> ReferenceTokenizer:
    return ReferenceTokenizer.from_file(str(smollm2_dir / "tokenizer.json"))


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with running_server() as running:
        yield running


@pytest.fixture(scope="session")
def tool_tokenizer(smollm2_dir: Path) -> ModelTokenizer:
    """SmolLM2's tokenizer with a chat template for tools and thinking, and with Mistral's markers as special tokens."""
    tokenizer = load_tokenizer(smollm2_dir)
    tokenizer.pretrained.chat_template = TOOL_TEMPLATE
    tokenizer.pretrained.add_special_tokens({"additional_special_tokens": ["[TOOL_CALLS]", "[THINK]", "[/THINK]"]})
    return ModelTokenizer(
        tokenizer.pretrained, vocab_size=tokenizer.vocab_size, stop_token_ids=tokenizer.stop_token_ids
    )


ServeTools = Callable[..., AbstractContextManager[Service]]


@pytest.fixture
def serve_tools(server: Server, tool_tokenizer: ModelTokenizer) -> ServeTools:
    """A service of a model that writes calls and thinks in the formats of these names."""

    def serve(
        tools: str | None = "hermes", reasoning: str | None = None, *, marks_in_grammars: bool = True
    ) -> AbstractContextManager[Service]:
        reference = ReferenceTokenizer.from_str(tool_tokenizer.pretrained.backend_tokenizer.to_str())
        return server.serving(
            tool_tokenizer,
            reference,
            tools=TOOL_FORMATS[tools] if tools else None,
            reasoning=REASONING_FORMATS[reasoning] if reasoning else None,
            marks_in_grammars=marks_in_grammars,
        )

    return serve


@pytest.fixture
def tools(serve_tools: ServeTools) -> Iterator[Service]:
    """One whose model writes calls as Hermes does."""
    with serve_tools() as service:
        yield service


@pytest.fixture
def service(
    server: Server, smollm2_tokenizer: ModelTokenizer, reference_tokenizer: ReferenceTokenizer
) -> Iterator[Service]:
    with server.serving(smollm2_tokenizer, reference_tokenizer) as service:
        yield service
