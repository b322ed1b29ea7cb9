"""Waits for one tuning: finds its job or starts it, says where it is, and reads what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from pydantic import ValidationError

from components.reconciliation.ray_dashboard import RayUnreachable
from components.reconciliation.service import NotReady
from components.reconciliation.state import Finding, not_ready
from components.reconciliation.tuning.ray_jobs import RayJob
from presets.tuning_job import TuningProgress

_POLL_SECONDS = 3.0
"""The whole log comes with every answer."""
_SILENT_SECONDS = 300.0
"""Without an answer of Ray, while a job runs."""
_TOLD_EVERY_SECONDS = 5.0
_HEARTBEAT_SECONDS = 15.0
_LAST_LINES = 12
_BY_SIGKILL = frozenset({-9, 128 + 9})
"""As a process ends that is killed, and as a shell says so of one."""


class JobsClient(Protocol):
    """What a tuning needs of Ray; RayJobs is one."""

    def list(self) -> list[RayJob]: ...
    def find(self, job: str) -> RayJob | None: ...
    def submit(self, job: str, entrypoint: str, environment: Mapping[str, str], gpus: int) -> None: ...
    def log(self, job: str) -> str: ...
    def stop(self, job: str) -> None: ...


@dataclass(frozen=True, kw_only=True)
class TuningRequest:
    """A job to be run."""

    workspace: str
    digest: str
    """Of everything that the adapter follows from."""
    entrypoint: str
    environment: Mapping[str, str]
    gpus: int

    @property
    def prefix(self) -> str:
        """Of the ids of this workspace's jobs."""
        return f"tuning.{self.workspace}."


def run(
    client: JobsClient, request: TuningRequest, timeout_seconds: float, say: Callable[[str], None]
) -> TuningProgress:
    """The result of the tuning. One that runs already is gone on with, another one of the workspace is ended first.

    Raises NotReady with the job's own reason.
    """
    job = _started(client, request, say)
    begun = time.monotonic()
    said, said_at = "", begun - _HEARTBEAT_SECONDS
    answered = begun
    while True:
        try:
            found = client.find(job)
            progress = last_progress(client.log(job))
        except RayUnreachable:
            # Training takes all cores, and the dashboard waits for its turn.
            if time.monotonic() - answered > _SILENT_SECONDS:
                raise
            time.sleep(_POLL_SECONDS)
            continue
        answered = time.monotonic()
        if found is None:
            raise NotReady(
                request.workspace, not_ready("TuningGone", _AGAIN.format("Ray does not know the job any more"))
            )
        if found.has_ended:
            return _result(request.workspace, found, client.log(job))
        now = time.monotonic()
        finding = whereabouts(progress)
        text = f"{request.workspace}: {finding.reason}: {finding.message}"
        if (text != said and (now - said_at > _TOLD_EVERY_SECONDS or not said)) or now - said_at > _HEARTBEAT_SECONDS:
            say(text if text != said else f"{text} ({now - begun:.0f} s)")
            said, said_at = text, now
        if now - begun > timeout_seconds:
            client.stop(job)
            _until_ended(client, job)
            message = f"after {timeout_seconds:.0f} s: {finding.message}; raise readyTimeoutSeconds, and it goes on"
            raise NotReady(request.workspace, not_ready("TuningTimedOut", message))
        time.sleep(_POLL_SECONDS)


_AGAIN = "{}; pulumi up goes on from the last checkpoint"


def whereabouts(progress: TuningProgress | None) -> Finding:
    """TuningReady of a job that runs.

    >>> whereabouts(TuningProgress(phase="training", message="step 5 of 20", loss=1.25, eta_seconds=90)).message
    'step 5 of 20, loss 1.250, 2 min left'
    """
    if progress is None:
        return not_ready("TuningStarting", "the job starts")
    parts = [progress.message]
    if progress.phase == "training":
        parts += [f"loss {progress.loss:.3f}"] if progress.loss is not None else []
        parts += [f"{progress.tokens_per_second:.0f} tokens/s"] if progress.tokens_per_second else []
        parts += [f"{max(1, round(progress.eta_seconds / 60))} min left"] if progress.eta_seconds is not None else []
    return not_ready("TuningRunning", ", ".join(parts))


def last_progress(log: str) -> TuningProgress | None:
    """What a job has said last of itself; None while it has said nothing that is understood."""
    for line in reversed(log.splitlines()):
        try:
            progress = TuningProgress.read(line)
        except ValidationError:
            continue
        if progress is not None:
            return progress
    return None


def _started(client: JobsClient, request: TuningRequest, say: Callable[[str], None]) -> str:
    """The id of a job that runs this request."""
    ours = [job for job in client.list() if job.id.startswith(request.prefix)]
    same = f"{request.prefix}{request.digest}."
    for job in ours:
        if job.has_ended:
            continue
        if job.id.startswith(same):
            say(f"{request.workspace}: the tuning of an earlier update runs still, and is waited for")
            return job.id
        say(f"{request.workspace}: another tuning of this workspace is ended, since it would make another adapter")
        client.stop(job.id)
        _until_ended(client, job.id)
    number = sum(job.id.startswith(same) for job in ours) + 1
    name = f"{same}{number}"
    client.submit(name, request.entrypoint, request.environment, request.gpus)
    return name


def _until_ended(client: JobsClient, job: str) -> None:
    for _ in range(60):
        found = client.find(job)
        if found is None or found.has_ended:
            return
        time.sleep(0.5)


def _result(workspace: str, job: RayJob, log: str) -> TuningProgress:
    progress = last_progress(log)
    if job.status == "SUCCEEDED" and progress is not None and progress.phase == "done" and not progress.reason:
        return progress
    raise NotReady(workspace, failure(job, progress, log))


def failure(job: RayJob, progress: TuningProgress | None, log: str) -> Finding:
    """Why a job has ended without an adapter, and what to do."""
    if progress is not None and progress.reason:
        return not_ready(progress.reason, progress.message)
    if job.status == "STOPPED":
        return not_ready("TuningStopped", _AGAIN.format("somebody has stopped the job"))
    if job.exit_code in _BY_SIGKILL:
        killed = "its process was killed (SIGKILL), as Linux does where memory runs out: write a smaller "
        return not_ready("TuningKilled", f"{killed}per_device_train_batch_size or max_length, or give it another try")
    last = "\n".join(line for line in log.splitlines()[-_LAST_LINES:])
    return not_ready("TuningFailed", f"{job.message or 'the job has ended'}; its last lines:\n{last}")
