"""The wait for one workspace: what it does and says, when it gives up, and that it never does so too early."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from components.reconciliation.cluster import reconcile
from components.reconciliation.cluster.api import ClusterUnreachable, NoLogin
from components.reconciliation.cluster.lists import Lists
from components.reconciliation.cluster.phases import BUDGETS
from components.reconciliation.cluster.reconcile import SILENT_SECONDS, Reached, Watch
from components.reconciliation.cluster.values import Seen, Verdict, Wanted
from components.reconciliation.service import NotReady
from components.reconciliation.state import Application
from tests.reconciliation.cluster.objects import container, ended, event, pending, pod, waiting
from tests.reconciliation.cluster.seen import (
    CONFIG,
    CORE,
    DASHBOARD,
    RAY,
    SEEN,
    WANTED,
    Clock,
    FakeApi,
    head,
    ray,
    running,
    service,
    worker,
)

NOT_THERE = replace(SEEN, main=service(active=""), clusters={}, pods=(), application=None, readiness=None)
PENDING = replace(NOT_THERE, pods=(pending("0/1 nodes are available: 1 Insufficient nvidia.com/gpu."),))
LOADING = replace(SEEN, application=replace(running(), status="DEPLOYING", replicas=()), readiness=None)
FAILED = replace(
    SEEN,
    application=Application(
        status="DEPLOY_FAILED", config=CONFIG, message="StartupFailure: [OutOfMemory] 9 GiB are missing"
    ),
    readiness=None,
)
SILENT = ClusterUnreachable("the API server https://cluster.example.com does not answer")

Look = Seen | Exception


@dataclass
class Scripted:
    """A workspace's wait, with what each look finds; the last entry is found for ever."""

    looks: list[Look]
    clock: Clock
    api: FakeApi = field(default_factory=FakeApi)
    said: list[str] = field(default_factory=list[str])
    told: list[tuple[Seen, Verdict, bool]] = field(default_factory=list[tuple[Seen, Verdict, bool]])
    looked: int = 0

    def observe(self, _api: FakeApi, _lists: Lists, _wanted: Wanted) -> Seen:
        found = self.looks[min(self.looked, len(self.looks) - 1)]
        self.looked += 1
        if isinstance(found, Exception):
            raise found
        return found

    def tell(self, seen: Seen, verdict: Verdict, over: bool) -> None:
        self.told.append((seen, verdict, over))

    def until_ready(self, wanted: Wanted = WANTED, limit: float | None = None) -> Reached:
        lists = Lists(self.api, self.clock.monotonic)
        watch = Watch(
            api=self.api, lists=lists, wanted=wanted, say=self.said.append, tell=self.tell, limit_seconds=limit
        )
        return watch.until_ready()

    def not_ready(self, wanted: Wanted = WANTED, limit: float | None = None) -> NotReady:
        with pytest.raises(NotReady) as given_up:
            self.until_ready(wanted, limit)
        return given_up.value


Script = Callable[..., Scripted]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    clock = Clock()
    monkeypatch.setattr(reconcile, "time", clock)

    def made(*looks: Look) -> Scripted:
        scripted = Scripted(list(looks), clock)
        monkeypatch.setattr(reconcile, "observe", scripted.observe)
        return scripted

    return made


def test_what_is_ready_is_adopted_without_a_change_or_a_wait(script: Script) -> None:
    scripted = script(SEEN)
    reached = scripted.until_ready()
    assert reached.seen is SEEN
    assert reached.verdict.ready
    assert scripted.api.asked == []
    assert scripted.clock.slept == 0


def test_each_phase_of_a_start_is_timed(script: Script) -> None:
    reached = script(*[PENDING] * 5, *[LOADING] * 11, SEEN).until_ready()
    assert reached.phases["nodes"] == pytest.approx(6.0), "four waits between five looks"
    assert reached.phases["load"] == pytest.approx(16.5)
    assert reached.phases["warmup"] == pytest.approx(1.5)
    assert sum(reached.phases.values()) == pytest.approx(24.0), "time is lost between the phases"


def test_what_is_waited_for_is_said_once_and_then_every_quarter_of_a_minute(script: Script) -> None:
    scripted = script(*[LOADING] * 41, SEEN)
    scripted.until_ready()
    assert all(line.startswith("chat: ReplicasStarting: 0 of 1 replicas run") for line in scripted.said)
    assert 4 <= len(scripted.said) <= 5, f"in a minute: {scripted.said}"
    assert "(load: 15 s; 2 to 6 min are usual)" in scripted.said[1]


def test_what_changes_is_said_at_once(script: Script) -> None:
    scripted = script(NOT_THERE, LOADING, SEEN)
    scripted.until_ready()
    assert ["WaitingForKubeRay" in scripted.said[0], "ReplicasStarting" in scripted.said[1]] == [True, True]


def test_the_mirror_is_told_of_every_look_and_not_of_the_end(script: Script) -> None:
    scripted = script(NOT_THERE, LOADING, SEEN)
    scripted.until_ready()
    assert [(seen, over) for seen, _, over in scripted.told] == [(NOT_THERE, False), (LOADING, False)]


def test_three_looks_in_a_row_that_see_no_hope_end_the_wait(script: Script) -> None:
    refused = replace(SEEN, main=service(refused="spec is wrong"))
    scripted = script(refused)
    given_up = scripted.not_ready()
    assert scripted.looked == 3
    assert (
        str(given_up) == "workspace chat is not ready: RayServiceRefused: KubeRay refuses the RayService: spec is wrong"
    )
    assert [over for _, _, over in scripted.told] == [False, False, False, True], "the mirror does not hear of the end"


def test_hope_that_comes_back_counts_from_the_start(script: Script) -> None:
    refused = replace(SEEN, main=service(refused="spec is wrong"))
    scripted = script(refused, refused, LOADING, refused, refused, SEEN)
    assert scripted.until_ready().seen is SEEN


def test_a_failure_that_was_there_before_is_cleared_and_only_one_of_our_own_ends_the_wait(script: Script) -> None:
    scripted = script(FAILED, LOADING, FAILED)
    scripted.api.answers.put(f"PUT {DASHBOARD}")
    given_up = scripted.not_ready()
    assert [each.body for each in scripted.api.changes()] == [{"applications": []}], "cleared once, at first"
    assert str(given_up).startswith("workspace chat is not ready: OutOfMemory: 9 GiB are missing")
    assert scripted.looked == 5


def test_workers_are_added_and_the_lists_are_read_anew(script: Script) -> None:
    scripted = script(SEEN, replace(SEEN, application=running(1, 2), pods=(head(), worker(1), worker(2))))
    scripted.looks[1] = replace(scripted.looks[1], clusters={"chat-aaaaa": ray(workers=2)})  # pyright: ignore
    scripted.api.answers.put(f"GET {RAY}/rayclusters/chat-aaaaa", body=ray())
    scripted.api.answers.put(f"PATCH {RAY}/rayclusters/chat-aaaaa")
    reached = scripted.until_ready(replace(WANTED, replicas=2))
    (change,) = scripted.api.changes()
    assert change.body[0]["value"] == 2
    assert reached.seen is scripted.looks[1]


@pytest.mark.parametrize(
    ("look", "phase"), [pytest.param(PENDING, "nodes", id="nodes"), pytest.param(LOADING, "load", id="load")]
)
def test_a_phase_that_takes_too_long_ends_the_wait_with_what_is_missing(script: Script, look: Seen, phase: str) -> None:
    scripted = script(look)
    begun = scripted.clock.now
    given_up = scripted.not_ready()
    limit = BUDGETS[phase].limit  # pyright: ignore[reportArgumentType]
    assert limit < scripted.clock.now - begun <= limit + 2
    assert f"in the phase {phase}, for which {limit} s are allowed; set readyTimeoutSeconds" in str(given_up)
    assert f"{scripted.told[-1][1].first_problem.message} after" in str(given_up)
    assert given_up.finding.reason == scripted.told[-1][1].first_problem.reason
    assert scripted.told[-1][2] is True


def test_a_limit_of_one_s_own_takes_the_place_of_those_of_the_phases(script: Script) -> None:
    scripted = script(LOADING)
    begun = scripted.clock.now
    given_up = scripted.not_ready(limit=60)
    assert 60 < scripted.clock.now - begun <= 62
    assert "after 60 s; raise readyTimeoutSeconds if it only needs longer" in str(given_up)
    longer = script(*[LOADING] * 1500, SEEN)
    begun = longer.clock.now
    longer.until_ready(limit=7200)
    assert longer.clock.now - begun > BUDGETS["load"].limit, "a longer limit does not count"


def outage(seconds: float) -> list[Look]:
    return [SILENT] * int(seconds / 1.5)


def test_an_api_server_that_is_restarted_is_waited_for(script: Script) -> None:
    scripted = script(LOADING, *outage(SILENT_SECONDS - 5), SEEN)
    assert scripted.until_ready().seen is SEEN
    assert any(line == f"chat: {SILENT}" for line in scripted.said), "nobody hears why nothing goes on"


def test_silence_counts_from_the_last_answer(script: Script) -> None:
    longest = outage(SILENT_SECONDS - 5)
    assert script(LOADING, *longest, LOADING, *longest, LOADING, *longest, SEEN).until_ready().seen is SEEN


def test_an_api_server_that_stays_away_ends_the_wait(script: Script) -> None:
    scripted = script(LOADING, SILENT)
    begun = scripted.clock.now
    with pytest.raises(ClusterUnreachable):
        scripted.until_ready()
    assert SILENT_SECONDS < scripted.clock.now - begun <= SILENT_SECONDS + 4


def test_a_login_that_has_expired_is_not_waited_for(script: Script) -> None:
    scripted = script(LOADING, NoLogin("the token has expired"))
    with pytest.raises(NoLogin, match="expired"):
        scripted.until_ready()
    assert scripted.looked == 2


def test_an_api_server_that_is_restarted_while_something_is_done_is_waited_for(script: Script) -> None:
    scripted = script(FAILED, FAILED, LOADING, SEEN)
    answers = iter((SILENT, (200, {})))
    scripted.api.answers.by_request[f"PUT {DASHBOARD}"] = lambda _: next(answers)
    assert scripted.until_ready().seen is SEEN


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param((404, {"message": "rayclusters chat-aaaaa not found"}), id="KubeRay has replaced it"),
        pytest.param((409, {"message": "the object has been modified"}), id="somebody else has changed it"),
    ],
)
def test_a_ray_that_is_another_one_by_the_time_of_the_act_is_looked_at_again(
    script: Script, answer: tuple[int, object]
) -> None:
    more = replace(SEEN, application=running(1, 2), pods=(head(), worker(1), worker(2)))
    scripted = script(SEEN, replace(more, clusters={"chat-aaaaa": ray(workers=2)}))
    scripted.api.answers.put(f"GET {RAY}/rayclusters/chat-aaaaa", body=ray())
    scripted.api.answers.by_request[f"PATCH {RAY}/rayclusters/chat-aaaaa"] = answer
    reached = scripted.until_ready(replace(WANTED, replicas=2))
    assert reached.seen is scripted.looks[1]
    assert any("modified" in line or "not found" in line for line in scripted.said), "nobody hears of it"


LOG = f"{CORE}/pods/chat-worker-1/log"
CRASHED = replace(
    SEEN,
    pods=(head(), pod("chat-worker-1", container(state=waiting("CrashLoopBackOff"), last=ended(1), restarts=9))),
    application=None,
    readiness=None,
)


def test_the_last_lines_of_what_crashed_stand_behind_the_message(script: Script) -> None:
    scripted = script(CRASHED)
    scripted.api.answers.put(f"GET {LOG}", body=b"line 1\nValueError: no such file\n")
    given_up = scripted.not_ready(limit=30)
    assert str(given_up).endswith("; last lines of chat-worker-1/ray-worker:\nline 1\nValueError: no such file")
    (asked,) = [each.path for each in scripted.api.asked if each.path.startswith(LOG)]
    assert "container=ray-worker" in asked
    assert "previous=true" in asked, "the run that crashed is the one before"


def test_a_log_that_cannot_be_read_takes_no_message_away(script: Script) -> None:
    for failure in (SILENT, (403, {"message": "forbidden"}), (200, b"")):
        scripted = script(CRASHED)
        scripted.api.answers.by_request[f"GET {LOG}"] = failure
        given_up = scripted.not_ready(limit=30)
        assert given_up.finding.reason == "ContainerCrashLoopBackOff"
        assert "last lines" not in str(given_up)


def test_a_pod_that_is_only_pending_has_no_log(script: Script) -> None:
    scripted = script(replace(PENDING, events=(event("FailedScheduling", "0/1 nodes are available"),)))
    scripted.not_ready(limit=5)
    assert scripted.api.asked == []
