"""Ray's Jobs API: processes that Ray runs to their end, with a status and a log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import httpx

from components.reconciliation.ray_dashboard import RayUnreachable

_JOBS = "/api/jobs/"
_REQUEST_SECONDS = 30
_GONE = 404
ENDED = frozenset({"SUCCEEDED", "FAILED", "STOPPED"})


class JobRejected(Exception):
    """Ray refused a job; the text is Ray's own reason."""


@dataclass(frozen=True, kw_only=True)
class RayJob:
    """One job as Ray reports it."""

    id: str
    status: str
    """PENDING, RUNNING, or one of ENDED."""
    message: str = ""
    exit_code: int | None = None
    """Of its process; negative: the signal that ended it."""

    @property
    def has_ended(self) -> bool:
        return self.status in ENDED


class RayJobs:
    """The jobs of one Ray cluster."""

    def __init__(self, url: str, token: str | None) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=_REQUEST_SECONDS, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._http.close()

    def list(self) -> list[RayJob]:
        """Those that were submitted, the oldest first."""
        found: list[dict[str, Any]] = self._ask("GET", _JOBS).json()
        submitted = [each for each in found if each.get("submission_id")]
        return [_job(each) for each in sorted(submitted, key=lambda each: each.get("start_time") or 0)]

    def find(self, job: str) -> RayJob | None:
        """None: Ray does not know it, as after a restart."""
        response = self._ask("GET", f"{_JOBS}{job}", allowed=_GONE)
        return None if response.status_code == _GONE else _job(response.json())

    def submit(self, job: str, entrypoint: str, environment: Mapping[str, str], gpus: int) -> None:
        """Start it. Raises JobRejected."""
        body = {
            "submission_id": job,
            "entrypoint": entrypoint,
            "runtime_env": {"env_vars": dict(environment)},
            "entrypoint_num_gpus": gpus,
        }
        response = self._request("POST", _JOBS, body)
        if response.is_error:
            raise JobRejected(f"Ray does not take the job ({response.status_code}): {response.text.strip()[-500:]}")

    def log(self, job: str) -> str:
        """All that it has said; "" for a job that Ray does not know."""
        response = self._ask("GET", f"{_JOBS}{job}/logs", allowed=_GONE)
        return "" if response.status_code == _GONE else str(response.json().get("logs") or "")

    def stop(self, job: str) -> None:
        """Have it end by SIGTERM, and by SIGKILL a little later."""
        self._ask("POST", f"{_JOBS}{job}/stop", allowed=_GONE)

    def _ask(self, method: str, path: str, allowed: int = 0) -> httpx.Response:
        response = self._request(method, path)
        if response.is_error and response.status_code != allowed:
            raise RayUnreachable(f"the Ray dashboard answered {response.status_code} to {path}")
        return response

    def _request(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> httpx.Response:
        try:
            return self._http.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise RayUnreachable(f"Ray does not answer at {self._http.base_url} ({error})") from error


def _job(found: Mapping[str, Any]) -> RayJob:
    return RayJob(
        id=str(found["submission_id"]),
        status=str(found["status"]),
        message=str(found.get("message") or ""),
        exit_code=found.get("driver_exit_code"),
    )
