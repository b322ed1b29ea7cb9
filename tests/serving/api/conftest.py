"""A service with a scripted engine and the real tokenizer of SmolLM2."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tokenizers import Tokenizer as ReferenceTokenizer

from serving.text.tokenizer import ModelTokenizer, load_tokenizer
from tests.serving.api.service import Server, Service, running_server


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


@pytest.fixture
def service(
    server: Server, smollm2_tokenizer: ModelTokenizer, reference_tokenizer: ReferenceTokenizer
) -> Iterator[Service]:
    with server.serving(smollm2_tokenizer, reference_tokenizer) as service:
        yield service
