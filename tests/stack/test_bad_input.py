"""Bad input as people meet it: through the CLI, with a message that names the way out, and nothing changed.

The long table of single fields stands in tests/planning/bad_input.py; here is what needs the whole way.
"""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from tests.stack.conftest import CHAT
from tests.stack.yard import Yard, workspace

pytestmark = pytest.mark.stack

LIST = "config: {modelyard:workspaces: "


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"{LIST}{{name: chat}}}}", ("modelyard:workspaces", "a list")),
        ("config: {modelyard:worksapces: []}", ("modelyard:worksapces", "modelyard:workspaces")),
        ("config: {modelyard:target: locl, modelyard:workspaces: []}", ("modelyard:target", "locl", "local")),
        (
            f"{LIST}[{{name: chat, inference: {{preset: {{name: smolm2-135m-instruct}}}}}}]}}",
            ("preset.name", "smollm2-135m-instruct"),
        ),
        (
            f"{LIST}[{{name: Chat, inference: {{preset: {{name: smollm2-135m-instruct}}}}}}, {{tunning: 1}}]}}",
            ("4 problems", "call it chat", "did you mean tuning", "neither inference nor tuning"),
        ),
    ],
    ids=["no list", "misspelt key", "misspelt target", "unknown preset", "all problems at once"],
)
def test_preview_refuses(idle_yard: Yard, text: str, words: tuple[str, ...]) -> None:
    idle_yard.write(text)
    refused = idle_yard.pulumi("preview").expect_failure().text
    assert "Pulumi.test.yaml" in refused, refused
    for word in words:
        assert word in refused, refused
    assert "Traceback" not in refused, refused


def test_a_taken_port_is_refused_before_anything_starts(idle_yard: Yard) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        idle_yard.configure(workspace(CHAT), ray={"servePort": port})
        refused = idle_yard.pulumi("up").expect_failure().text
    assert f"port {port} is in use" in refused, refused
    assert "modelyard:ray.servePort" in refused, refused
    assert idle_yard.ray.record() is None, "Ray was started all the same"


def corrupt_model(folder: Path) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", "architectures": ["LlamaForCausalLM"]}))
    (folder / "tokenizer.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"\xff\x00\x00\x00\x00\x00\x00\x00{")
    return folder


def test_corrupt_weights_fail_the_up_and_leave_nothing(yard: Yard, tmp_path: Path) -> None:
    folder = corrupt_model(tmp_path / "model")
    yard.configure(workspace(CHAT), workspace("broken", options={"weights": f"file:{folder}"}))
    refused = yard.pulumi("up").expect_failure().text
    assert "WeightsCorrupt" in refused, refused
    assert "model.safetensors" in refused, refused
    assert list(yard.applications()) == [CHAT]
    assert "broken-service-application" not in yard.pulumi("stack", "--show-urns").expect().text
    yard.up(workspace(CHAT))
