"""Who waits is served in turn: nobody starves, nobody is forgotten."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from serving.engines.protocol import GenerationRequest
from serving.engines.waiting import WaitingRequests
from tests.serving.engines.conftest import BuildEngine
from tests.serving.engines.driving import request, run
from tests.serving.engines.tiny_models import prompt


def waiting(*names: str) -> WaitingRequests:
    """Requests by name; its first letter is the client."""
    queue = WaitingRequests()
    for name in names:
        queue.add(request(name, prompt(3), client=name[0]))
    return queue


def drained(queue: WaitingRequests) -> list[str]:
    return [queue.next().id for _ in range(len(queue))]


def test_one_client_is_served_in_order_of_arrival() -> None:
    assert drained(waiting("a1", "a2", "a3")) == ["a1", "a2", "a3"]


def test_clients_take_turns() -> None:
    assert drained(waiting("a1", "a2", "a3", "b1", "c1", "c2")) == ["a1", "b1", "c1", "a2", "c2", "a3"]


def test_who_comes_back_stands_behind_those_who_wait() -> None:
    queue = waiting("a1", "b1", "b2")
    assert queue.next().id == "a1"
    queue.add(request("a2", prompt(3), client="a"))
    assert drained(queue) == ["b1", "a2", "b2"]


def test_a_request_that_is_removed_is_not_served() -> None:
    queue = waiting("a1", "a2", "b1")
    queue.remove("a1")
    queue.remove("b1")
    queue.remove("b1")
    assert drained(queue) == ["a2"]


@given(st.lists(st.tuples(st.sampled_from(["add", "next", "remove"]), st.integers(0, 3)), max_size=60))
def test_every_request_is_served_once_and_none_waits_for_two_turns_of_another(steps: list[tuple[str, int]]) -> None:
    queue, added = WaitingRequests(), 0
    inside: dict[str, GenerationRequest] = {}
    overtaken: dict[str, Counter[str]] = {}
    for what, number in steps:
        if what == "add":
            each = request(str(added), prompt(3), client=f"client {number}")
            queue.add(each)
            inside[each.id], overtaken[each.id] = each, Counter()
            added += 1
        elif what == "remove":
            queue.remove(str(number))
            inside.pop(str(number), None)
        elif inside:
            served = queue.next()
            assert inside.pop(served.id) == served
            first = {each.client: each.id for each in reversed(inside.values())}
            for client, request_id in first.items():
                overtaken[request_id][served.client] += client != served.client
                assert overtaken[request_id][served.client] <= 1, f"{served.client} had two turns before {client}"
        assert len(queue) == len(inside)
    assert sorted(drained(queue)) == sorted(inside)


def test_a_client_with_twenty_requests_does_not_starve_another_s_single_one(build: BuildEngine) -> None:
    engine = build(max_sequences=2)
    crowd = [request(f"crowd {number}", prompt(4), max_tokens=3, client="crowd") for number in range(20)]
    answers = run(engine, *crowd, joining={1: request("single", prompt(4), max_tokens=3, client="single")})
    place = list(answers.finish).index("single")
    assert len(answers.finish) == 21
    assert place <= 3, f"{place} of the crowd's requests were answered before it, and 2 were running when it came"
