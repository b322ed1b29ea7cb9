"""How a tuning's job is found, started and waited for, and what is said of one that fails."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from components.reconciliation.service import NotReady
from components.reconciliation.tuning import run as run_module
from components.reconciliation.tuning.ray_jobs import RayJob
from components.reconciliation.tuning.run import TuningRequest, failure, last_progress, run, whereabouts
from presets.tuning_job import TuningProgress

REQUEST = TuningRequest(workspace="learn", digest="0123", entrypoint="python -m tuning", environment={}, gpus=0)
DONE = TuningProgress(phase="done", message="made", adapter_directory="/a").line()


@dataclass
class Jobs:
    """Ray's jobs, of which each has ended as soon as it was looked at."""

    known: dict[str, RayJob] = field(default_factory=dict[str, RayJob])
    says: str = DONE
    ends: str = "SUCCEEDED"
    submitted: list[str] = field(default_factory=list[str])
    stopped: list[str] = field(default_factory=list[str])

    def list(self) -> list[RayJob]:
        return list(self.known.values())

    def find(self, job: str) -> RayJob | None:
        found = self.known.get(job)
        if found is not None and not found.has_ended:
            self.known[job] = RayJob(id=job, status="STOPPED" if job in self.stopped else self.ends)
        return found

    def submit(self, job: str, entrypoint: str, environment: Mapping[str, str], gpus: int) -> None:
        self.submitted.append(job)
        self.known[job] = RayJob(id=job, status="RUNNING")

    def log(self, job: str) -> str:
        return self.says

    def stop(self, job: str) -> None:
        self.stopped.append(job)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module.time, "sleep", lambda _: None)


def said_of(jobs: Jobs) -> tuple[TuningProgress, list[str]]:
    said: list[str] = []
    return run(jobs, REQUEST, 60, said.append), said


def test_a_job_is_started_and_its_result_read() -> None:
    jobs = Jobs()
    result, _ = said_of(jobs)
    assert result.adapter_directory == "/a"
    assert jobs.submitted == ["tuning.learn.0123.1"]


def test_a_job_that_runs_already_is_waited_for() -> None:
    jobs = Jobs(known={"tuning.learn.0123.1": RayJob(id="tuning.learn.0123.1", status="RUNNING")})
    _, said = said_of(jobs)
    assert jobs.submitted == []
    assert "runs still" in said[0]


def test_a_job_that_has_ended_is_started_anew_under_another_number() -> None:
    jobs = Jobs(known={"tuning.learn.0123.1": RayJob(id="tuning.learn.0123.1", status="FAILED")})
    said_of(jobs)
    assert jobs.submitted == ["tuning.learn.0123.2"]


def test_a_job_that_would_make_another_adapter_is_ended_first() -> None:
    jobs = Jobs(known={"tuning.learn.9999.1": RayJob(id="tuning.learn.9999.1", status="RUNNING")})
    said_of(jobs)
    assert jobs.stopped == ["tuning.learn.9999.1"]
    assert jobs.submitted == ["tuning.learn.0123.1"]


def test_the_jobs_of_other_workspaces_are_left_alone() -> None:
    jobs = Jobs(known={"tuning.learn-more.9999.1": RayJob(id="tuning.learn-more.9999.1", status="RUNNING")})
    said_of(jobs)
    assert jobs.stopped == []


def test_a_failure_has_the_job_s_own_reason() -> None:
    why = TuningProgress(phase="training", message="write max_length: 512", reason="OutOfMemory").line()
    with pytest.raises(NotReady, match="OutOfMemory: write max_length: 512"):
        said_of(Jobs(says=why, ends="FAILED"))


def test_a_job_without_a_word_has_its_last_lines_told() -> None:
    found = failure(RayJob(id="a", status="FAILED", message="exit 1", exit_code=1), None, "Traceback\nKeyError: 'x'")
    assert found.reason == "TuningFailed"
    assert "KeyError: 'x'" in found.message


def test_a_job_that_the_kernel_has_killed_is_told_from_others() -> None:
    found = failure(RayJob(id="a", status="FAILED", exit_code=-9), None, "")
    assert found.reason == "TuningKilled"
    assert "max_length" in found.message


def test_lines_of_another_version_are_passed_over() -> None:
    good = TuningProgress(phase="data", message="reading").line()
    progress = last_progress(f'{good}\nmodelyard-tuning: {{"phase":"lunch"}}\nsomething else')
    assert progress is not None
    assert progress.message == "reading"


def test_where_a_job_is_says_how_long_it_takes() -> None:
    progress = TuningProgress(
        phase="training", message="step 5 of 20", loss=1.5, tokens_per_second=812.4, eta_seconds=90
    )
    assert whereabouts(progress).message == "step 5 of 20, loss 1.500, 812 tokens/s, 2 min left"
    assert whereabouts(None).reason == "TuningStarting"
