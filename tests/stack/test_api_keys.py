"""API keys from the stack's file to the endpoint: with Pulumi's own secrets, and nowhere in plain text."""

from __future__ import annotations

import hashlib
import secrets
from pathlib import Path

import openai
import pytest

from tests.stack.conftest import CHAT
from tests.stack.yard import CAPITAL, STACK, Yard, workspace

pytestmark = [pytest.mark.stack, pytest.mark.slow]


def ask(yard: Yard, key: str) -> str:
    with openai.OpenAI(base_url=yard.endpoint(CHAT), api_key=key, max_retries=0, timeout=120) as client:
        answer = client.completions.create(model=CHAT, prompt=CAPITAL, max_tokens=4, temperature=0)
    return answer.choices[0].text


def files_with(text: str, *folders: Path) -> list[Path]:
    files = [file for folder in folders for file in folder.rglob("*") if file.is_file() and not file.is_symlink()]
    return [file for file in files if text.encode() in file.read_bytes()]


def test_a_secret_key_opens_the_endpoint_and_stands_nowhere(idle_yard: Yard) -> None:
    yard, key = idle_yard, secrets.token_hex(32)
    yard.configure(workspace(CHAT), apiKeys=[{"name": "alice", "requestsPerMinute": 1000}])
    yard.pulumi("config", "set", "--secret", "--path", "modelyard:apiKeys[0].key", key, "--stack", STACK).expect()

    said = [yard.pulumi("preview", "--diff").expect().text, yard.up().text, yard.status()]
    said.append(yard.run("pulumi", "stack", "export", "-s", STACK).expect().text)
    assert not [text for text in said if key in text]
    assert "Authorization: Bearer $API_KEY" in said[2], "the request to copy would be refused"
    assert ask(yard, key)
    with pytest.raises(openai.AuthenticationError):
        ask(yard, "none")
    assert yard.conditions(CHAT)["WorkspaceReady"] == "True", "the last proof of it is a prompt, and up has no key"
    # In Pulumi's state it is encrypted, as in the stack's file.
    assert not files_with(key, yard.folder.parent, Path(yard.record.temp_dir))
    planned = yard.run(".venv/bin/python", "-m", "components.plan_command", "--stack", STACK).expect().text
    assert "no change" in planned, "make plan cannot read the key, and takes it to be the one that is deployed"

    engine, other = yard.engine_pid(CHAT), secrets.token_hex(32)
    hashed = hashlib.sha256(other.encode()).hexdigest()
    yard.configure(workspace(CHAT), apiKeys=[{"name": "bob", "sha256": hashed}])
    assert "in place: apiKeys" in yard.up().text
    assert ask(yard, other)
    with pytest.raises(openai.AuthenticationError):
        ask(yard, key)
    assert yard.engine_pid(CHAT) == engine, "a new key restarted the engine"
