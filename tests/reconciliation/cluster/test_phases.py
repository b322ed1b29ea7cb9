"""Which phase of its start a workspace is in, and what a user reads of it."""

from __future__ import annotations

from typing import get_args

import pytest

from components.reconciliation.cluster.api import Json
from components.reconciliation.cluster.phases import BUDGETS, Budget, Phase, overdue, phase_of, progress
from tests.reconciliation.cluster.objects import CREATING, RUNNING, container, ended, job, pod, waiting

RUNS = pod("chat-0", container(state=RUNNING), phase="Running")
PREFETCH = {"modelyard.dev/part": "prefetch"}
WAITS_FOR_HEAD = pod(
    "chat-1",
    container(state=waiting("PodInitializing")),
    init=({**container("wait-gcs-ready", RUNNING), "started": True},),
)


@pytest.mark.parametrize(
    ("pods", "jobs", "app_status", "phase"),
    [
        pytest.param([], [], None, "nodes", id="no pod yet"),
        pytest.param([RUNS, pod("chat-1", node="")], [], None, "nodes", id="one pod has no node"),
        pytest.param([RUNS, pod("chat-1", container(state=CREATING))], [], None, "image", id="one pod is being made"),
        pytest.param([pod("chat-1")], [], None, "image", id="the kubelet has said nothing yet"),
        pytest.param(
            [
                pod(
                    "chat-1",
                    container(state=waiting("PodInitializing")),
                    init=(container("code", waiting("ErrImagePull")),),
                )
            ],
            [],
            None,
            "image",
            id="an init container's image",
        ),
        pytest.param([RUNS, WAITS_FOR_HEAD], [], None, "load", id="a worker waits for the head: its image is there"),
        pytest.param([RUNS], [], None, "load", id="no application yet"),
        pytest.param([RUNS], [], "DEPLOYING", "load", id="the application loads"),
        pytest.param([RUNS], [], "RUNNING", "warmup", id="the application runs"),
        pytest.param([RUNS], [job()], None, "weights", id="weights are being fetched"),
        pytest.param([RUNS], [job(complete=True)], "DEPLOYING", "load", id="weights are there"),
        pytest.param([RUNS], [job(part="other")], "RUNNING", "warmup", id="a Job of something else"),
        pytest.param(
            [RUNS, pod("weights-1", node="", labels=PREFETCH)], [], "RUNNING", "warmup", id="pods of a Job do not serve"
        ),
        pytest.param(
            [RUNS, pod("old", container(state=ended(1)), phase="Failed", node="")],
            [],
            "RUNNING",
            "warmup",
            id="a pod that ended",
        ),
    ],
)
def test_phase(pods: list[Json], jobs: list[Json], app_status: str | None, phase: Phase) -> None:
    assert phase_of(pods, jobs, app_status) == phase


@pytest.mark.parametrize("half", [{}, {"spec": None, "status": None}, {"status": {"containerStatuses": [None, {}]}}])
def test_half_an_object_is_no_accident(half: Json) -> None:
    assert phase_of([half], [half], None) == "nodes"


@pytest.mark.parametrize("phase", get_args(Phase))
def test_every_phase_has_a_budget_that_its_usual_time_is_far_within(phase: Phase) -> None:
    low, high = BUDGETS[phase].usual
    assert low < high
    assert not overdue(phase, 2 * high), "twice the usual time is no failure yet"
    assert overdue(phase, BUDGETS[phase].limit + 1)


def test_larger_weights_get_a_budget_of_their_own() -> None:
    budgets: dict[Phase, Budget] = {**BUDGETS, "weights": Budget(usual=(3600, 7200), limit=20_000)}
    assert overdue("weights", 10_000)
    assert not overdue("weights", 10_000, budgets)
    assert progress("weights", 300, "", budgets) == "weights: 5 min 0 s; 60 to 120 min are usual"


@pytest.mark.parametrize(
    ("phase", "seconds", "detail", "sentence"),
    [
        ("nodes", 45, "1 of 2 ready", "nodes: 1 of 2 ready, 45 s; 3 to 7 min are usual"),
        ("image", 119.6, "", "image: 2 min 0 s; 1 to 2 min are usual"),
        ("load", 612, "0 of 1 replicas run", "load: 0 of 1 replicas run, 10 min 12 s; 2 to 6 min are usual"),
        ("warmup", 3.2, "", "warmup: 3 s; 5 to 95 s are usual"),
    ],
)
def test_progress_says_how_long_is_usual(phase: Phase, seconds: float, detail: str, sentence: str) -> None:
    assert progress(phase, seconds, detail) == sentence
