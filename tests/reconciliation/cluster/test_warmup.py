"""The last steps of a start: the smoke prompt through the API server, and what the service measures of itself."""

from __future__ import annotations

import pytest
import tenacity

from components.reconciliation.cluster import warmup
from components.reconciliation.cluster.api import ClusterUnreachable
from components.reconciliation.cluster.mirror import Performance
from components.reconciliation.cluster.warmup import measure, smoke
from components.reconciliation.smoke import SmokeFailed
from tests.reconciliation.cluster.seen import ENDPOINT, WANTED, Answer, Clock, FakeApi, measured

SMOKE = f"POST {ENDPOINT}/smoke"
PROXY_KNOWS_NO_ROUTE = (404, b"Path '/smoke' not found.")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (warmup, tenacity, tenacity.nap):
        monkeypatch.setattr(module, "time", clock)
    return clock


def answering(*answers: Answer) -> FakeApi:
    """An API server that gives these answers, the last one for ever."""
    api, left = FakeApi(), list(answers)
    api.answers.by_request[SMOKE] = lambda _: left.pop(0) if len(left) > 1 else left[0]
    return api


def test_an_answer_with_tokens_is_enough(clock: Clock) -> None:
    api = answering((200, measured(tokens=4)))
    assert smoke(api, WANTED) >= 0
    (asked,) = api.asked
    assert asked.path == f"{ENDPOINT}/smoke", "the OpenAI endpoint may need an API key"


@pytest.mark.parametrize(
    "busy",
    [
        pytest.param(PROXY_KNOWS_NO_ROUTE, id="the proxy has not heard of its routes"),
        pytest.param((503, {"kind": "Status", "message": "no endpoints available"}), id="the Service has no endpoint"),
        pytest.param((429, {"error": {}}), id="the queue is full"),
        pytest.param((502, b""), id="the proxy has no replica"),
    ],
)
def test_what_passes_is_waited_for(clock: Clock, busy: Answer) -> None:
    api = answering(busy, busy, (200, measured(tokens=4)))
    smoke(api, WANTED)
    assert api.requests == 3
    assert clock.slept == 2


def test_what_does_not_pass_is_told_after_a_minute(clock: Clock) -> None:
    begun = clock.now
    with pytest.raises(SmokeFailed, match=r"the service chat answered 404 .*Path '/smoke' not found\., for 60 s"):
        smoke(answering(PROXY_KNOWS_NO_ROUTE), WANTED)
    assert 60 <= clock.now - begun < 63


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((400, {"detail": "no"}), "answered 400 to the smoke prompt"),
        ((200, measured(tokens=0)), "with no tokens"),
        ((200, b"<html>"), "with no tokens: <html>"),
        ((200, b"[]"), "with no tokens"),
    ],
)
def test_an_answer_that_is_none_is_told_at_once(clock: Clock, answer: Answer, words: str) -> None:
    api = answering(answer)
    with pytest.raises(SmokeFailed, match=words):
        smoke(api, WANTED)
    assert api.requests == 1


def test_what_the_service_measures_is_told_in_tokens_a_minute() -> None:
    api = answering((200, measured(tokens=100, seconds=2.5)))
    assert measure(api, WANTED) == Performance(tokens_per_minute=2400.0, time_to_first_token_seconds=0.25)
    assert api.asked[0].path == f"{ENDPOINT}/smoke?measure=true"


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param((200, {"usage": {"completion_tokens": 4}}), id="older code, which measures nothing"),
        pytest.param((200, measured(tokens=4, seconds=0)), id="no time at all"),
        pytest.param((503, measured(tokens=4)), id="busy"),
        pytest.param((200, b"<html>"), id="no JSON"),
        pytest.param((200, b"[]"), id="other JSON"),
        pytest.param(ClusterUnreachable("gone"), id="nobody there"),
    ],
)
def test_a_workspace_that_measures_nothing_is_ready_all_the_same(answer: Answer) -> None:
    assert measure(answering(answer), WANTED) is None
