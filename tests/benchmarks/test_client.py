"""What the client reads out of a stream, and what it refuses to call an answer."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator

import pytest

from benchmarks.client import Arrival, load, read
from benchmarks.errors import ServiceFailed
from tests.benchmarks.builders import event, piece

ROLE = event(0.01, choices=[{"delta": {"role": "assistant"}, "finish_reason": None}])
END = event(0.5, choices=[{"delta": {}, "finish_reason": "length"}])
USAGE = event(0.5, choices=[], usage={"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12})
GOOD = {"model": "good"}
DONE = Arrival(0.5, b"data: [DONE]\n\n")


def test_the_first_token_is_the_first_text_and_not_the_role() -> None:
    answer = read([ROLE, piece(0.2, "The"), piece(0.3, " sea"), END, USAGE, DONE])
    assert answer.first_token == 0.2
    assert answer.gaps == pytest.approx([0.1])


def test_tokens_are_the_services_own_count_not_that_of_pieces() -> None:
    answer = read([piece(0.2, "The sea"), END, USAGE, DONE])
    assert answer.tokens == 3
    assert answer.finish_reason == "length"


def test_usage_in_the_last_chunk_with_a_choice_is_found_too() -> None:
    last = event(0.5, choices=[{"delta": {}, "finish_reason": "stop"}], usage={"completion_tokens": 5})
    assert read([piece(0.2, "The"), last]).tokens == 5


def test_an_event_counts_when_its_last_byte_is_there() -> None:
    whole = piece(0, "The").data
    halves = [Arrival(0.1, whole[:20]), Arrival(0.4, whole[20:])]
    assert read([*halves, END, USAGE]).first_token == 0.4


def test_two_events_in_one_arrival_are_two_pieces_without_a_gap() -> None:
    both = Arrival(0.2, piece(0, "The").data + piece(0, " sea").data)
    assert read([both, END, USAGE]).gaps == [0.0]


@pytest.mark.parametrize(
    ("arrivals", "words"),
    [
        ([], "0 pieces of text"),
        ([piece(0.1, "The")], "finish_reason missing"),
        ([piece(0.1, "The"), END], "0 tokens in usage"),
        ([END, USAGE], "0 pieces of text"),
        ([piece(0.1, "The"), event(0.2, error={"message": "the engine died"})], "the engine died"),
    ],
    ids=["nothing", "cut off", "no usage", "no text", "error event"],
)
def test_half_an_answer_is_no_answer(arrivals: list[Arrival], words: str) -> None:
    with pytest.raises(ServiceFailed, match=words):
        read(arrivals)


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers whoever asks for the model `good`, and for "adapted" with an adapter; the others are refused."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        good = b'"model":"good"' in body and b'"include_usage":true' in body
        good = good and (b'"adapted"' not in body or b'"lora":[{"id":0' in body)
        answer = b"".join(each.data for each in (piece(0, "The"), piece(0, " sea"), END, USAGE, DONE))
        self.send_response(200 if good else 429)
        self.end_headers()
        self.wfile.write(answer if good else b"too many requests")

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: pytest shows what matters."""


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()


def test_every_client_asks_every_prompt_of_its_list(base_url: str) -> None:
    found = load(base_url, [GOOD], [["a", "b"], ["c", "d"], ["e", "f"]], max_tokens=3)
    assert len(found.answers) == 6
    assert {answer.tokens for answer in found.answers} == {3}
    assert 0 < max(answer.first_token for answer in found.answers) <= found.seconds


def test_a_refusal_is_reported_with_its_status_and_words(base_url: str) -> None:
    with pytest.raises(ServiceFailed, match="429: too many requests"):
        load(base_url, [GOOD, {"model": "bad"}], [["a"], ["b"]], max_tokens=3)


def test_other_fields_of_a_target_are_sent_too(base_url: str) -> None:
    with pytest.raises(ServiceFailed, match="429"):
        load(base_url, [GOOD], [["adapted"]], max_tokens=3)
    assert load(base_url, [{**GOOD, "lora": [{"id": 0, "scale": 1.0}]}], [["adapted"]], max_tokens=3).answers


def test_a_service_that_is_not_there_is_reported() -> None:
    with pytest.raises(ServiceFailed, match="ConnectError"):
        load("http://127.0.0.1:9/v1", [GOOD], [["a"]], max_tokens=3)
