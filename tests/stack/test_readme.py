"""What the README asks people to copy works as it stands there."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.docs import pages
from tests.stack.conftest import CHAT
from tests.stack.yard import Yard

pytestmark = pytest.mark.stack


def here(text: str, yard: Yard) -> str:
    """A README snippet for this yard: its port and its workspace instead of the dev stack's."""
    return text.replace("http://127.0.0.1:8000", yard.record.serve_url).replace("smollm2", CHAT)


def snippet(language: str, words: str) -> str:
    return next(b.text for b in pages.page("README.md").blocks if b.language == language and words in b.text)


def test_the_curl_command_answers_paris(yard: Yard) -> None:
    answer = subprocess.check_output(["bash", "-c", here(snippet("sh", "curl"), yard)], text=True)
    assert json.loads(answer)["choices"][0]["message"]["content"] == "The capital of France is Paris."


def test_the_python_program_streams_paris(yard: Yard) -> None:
    program = here(snippet("python", "OpenAI("), yard)
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "The capital of France is Paris."


def test_status_ends_with_a_command_that_answers_paris(yard: Yard) -> None:
    command = yard.status().splitlines()[-1]
    assert command.startswith("curl ")
    assert "Paris" in subprocess.check_output(["bash", "-c", command], text=True)
