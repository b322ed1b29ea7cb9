"""The loop around the pure core: what it sends, when it gives up, what it says."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from components.reconciliation.service import NotReady, reconcile
from components.reconciliation.state import Application, Desired, Observed, Readiness, Replica

CONFIG: dict[str, Any] = {"name": "chat", "route_prefix": "/chat"}
DESIRED = Desired(name="chat", config=CONFIG, replicas=1)
UP = Application(status="RUNNING", config=CONFIG, deployed_at=2.0, replicas=(Replica(state="RUNNING"),))
FAILED = Application(
    status="DEPLOY_FAILED", config=CONFIG, deployed_at=2.0, message="StartupFailure: [OutOfMemory] 9 GiB"
)


class ScriptedServe:
    """Answers `observe` from a list, the last entry for ever, and remembers what it was told to do."""

    def __init__(self, *states: Observed) -> None:
        self._states = list(states)
        self.calls: list[str] = []

    def observe(self, name: str) -> Observed:
        return self._states.pop(0) if len(self._states) > 1 else self._states[0]

    def put(self, config: Mapping[str, Any]) -> None:
        self.calls.append(f"put {config['name']}")

    def remove(self, name: str) -> None:
        self.calls.append(f"remove {name}")


def seen(app: Application | None) -> Observed:
    ready = Readiness(ok=True, phases={"load": 1.5}) if app is UP else None
    return Observed(ray_version="2", application=app, readiness=ready)


@pytest.fixture
def endpoint() -> Iterator[str]:
    """A server that answers every smoke prompt with four tokens, or with none below /mute; it has nothing else."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            assert self.path.endswith("/smoke"), "the OpenAI endpoint may need an API key"
            tokens = 0 if self.path.startswith("/mute") else 4
            body = json.dumps({"usage": {"completion_tokens": tokens}}).encode()
            self.send_response(500 if self.path.startswith("/broken") else 200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_what_is_already_there_is_adopted_without_a_change(endpoint: str) -> None:
    serve = ScriptedServe(seen(UP))
    outcome = reconcile(serve, DESIRED, endpoint, 5, lambda _: None)
    assert serve.calls == []
    assert outcome.phases["load"] == 1.5
    assert outcome.phases["smokePrompt"] > 0


def test_a_new_application_is_sent_once_and_waited_for(endpoint: str) -> None:
    starting = Application(status="DEPLOYING", config=CONFIG, deployed_at=2.0)
    serve = ScriptedServe(seen(None), seen(starting), seen(starting), seen(UP))
    said: list[str] = []
    reconcile(serve, DESIRED, endpoint, 30, said.append)
    assert serve.calls == ["put chat"]
    assert any("0 of 1 replicas run" in line for line in said), said
    assert len(said) == len(set(said)), f"the same line twice: {said}"


def test_an_old_failure_is_cleared_and_tried_again(endpoint: str) -> None:
    serve = ScriptedServe(seen(FAILED), seen(None), seen(UP))
    reconcile(serve, DESIRED, endpoint, 30, lambda _: None)
    assert serve.calls == ["remove chat", "put chat"]


def test_a_failure_of_our_own_ends_the_waiting_with_the_replicas_words(endpoint: str) -> None:
    serve = ScriptedServe(seen(None), seen(FAILED))
    with pytest.raises(NotReady, match=r"workspace chat is not ready: OutOfMemory: 9 GiB"):
        reconcile(serve, DESIRED, endpoint, 30, lambda _: None)


def test_time_runs_out_with_what_was_missing(endpoint: str) -> None:
    serve = ScriptedServe(seen(Application(status="DEPLOYING", config=CONFIG)))
    with pytest.raises(NotReady, match=r"0 of 1 replicas run after 0 s; raise readyTimeoutSeconds"):
        reconcile(serve, DESIRED, endpoint, 0, lambda _: None)


@pytest.mark.parametrize(("path", "words"), [("/mute", "with no tokens"), ("/broken", "500")])
def test_an_endpoint_that_cannot_answer_a_prompt_is_not_ready(endpoint: str, path: str, words: str) -> None:
    with pytest.raises(NotReady, match=words) as caught:
        reconcile(ScriptedServe(seen(UP)), DESIRED, f"{endpoint}{path}", 5, lambda _: None)
    assert caught.value.finding.reason == "SmokePromptFailed"
