"""What tests of several parts of tuning share."""

from __future__ import annotations

from pathlib import Path

import pytest

from presets.catalog import find_preset
from presets.weights_source import parse_weights_source
from serving.weights import ensure


@pytest.fixture(scope="session")
def smollm2_dir() -> Path:
    """SmolLM2-135M-Instruct as safetensors; fetched and converted once a machine."""
    return ensure(parse_weights_source(find_preset("smollm2-135m-instruct").weights)).path
