"""What Pulumi calls: the tuning of a workspace as one dynamic resource, and the promotion of its adapter as another.

Two, because an adapter that has missed the gate is made and published all the same: the first one succeeds and has the
figures, the second one fails the update and keeps what was promoted before. Pulumi keeps a reference to these classes
in the state (module and name, no data), so neither may be renamed or hold anything. No property is a secret.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import Timeout
from pulumi.dynamic import ConfigureRequest, CreateResult, DiffResult, ReadResult, ResourceProvider, UpdateResult

from components.reconciliation import serving_environment, weights
from components.reconciliation.decide import transition
from components.reconciliation.lifeline import end_with_engine
from components.reconciliation.local_ray import LocalRay
from components.reconciliation.progress import say
from components.reconciliation.ray_dashboard import RayUnreachable
from components.reconciliation.service import NotReady
from components.reconciliation.state import ConditionType, Finding, not_ready, ready
from components.reconciliation.tuning.inputs import data_changed, fingerprint
from components.reconciliation.tuning.ray_jobs import JobRejected, RayJobs
from components.reconciliation.tuning.run import TuningRequest, run
from presets.tuning_job import ENTRYPOINT, JOB_VARIABLE, TuningJob, TuningProgress
from presets.tuning_memory import CPU_ALLOCATOR

Props = dict[str, Any]

INPUTS = ("name", "stack", "job", "numGpus", "where", "instance", "readyTimeoutSeconds")
_MAKES_ANOTHER = ("name", "stack")
"""Inputs of which another value is another adapter, as is a job of another digest; the others say how it is made."""


class TuningFailed(Exception):
    """Ends `pulumi up` with one sentence: the reason and the way out."""


class GateMissed(Exception):
    """Ends `pulumi up`: the adapter is made, and is not good enough to be served."""


class TuningRunProvider(ResourceProvider):
    """One tuning on this machine's Ray."""

    serialize_as_secret_always = False

    def configure(self, req: ConfigureRequest) -> None:
        """Pulumi calls this once in every process that it starts for this class."""
        end_with_engine()

    def diff(self, _id: str, _olds: Props, _news: Props) -> DiffResult:
        changed = bool(_olds.get("drift")) or any(_olds.get(key) != _news.get(key) for key in _MAKES_ANOTHER)
        changed = changed or _job(_olds).digest != _job(_news).digest
        return DiffResult(changes=changed or bool(data_changed(_olds.get("dataFingerprint"), _job(_news).data)))

    def create(self, props: Props) -> CreateResult:
        return CreateResult(props["name"], _run(props, {}))

    def update(self, _id: str, _olds: Props, _news: Props) -> UpdateResult:
        return UpdateResult(_run(_news, _olds))

    def read(self, id_: str, props: Props) -> ReadResult:
        """What refresh shows: under `drift` why the tuning has to run again."""
        return ReadResult(
            id_, {**props, "drift": data_changed(props.get("dataFingerprint"), _job(props).data) or _lost(props)}
        )

    def delete(self, _id: str, _props: Props) -> None:
        """End what runs. The adapters stay: they took hours, and are few megabytes."""
        ray = LocalRay(Path.cwd(), _props["stack"])
        record = ray.record()
        if record is None or ray.is_gone():
            return
        with _explained(), RayJobs(record.dashboard_url, ray.token()) as jobs:
            for job in jobs.list():
                if job.id.startswith(_request(_props, _job(_props), "").prefix) and not job.has_ended:
                    jobs.stop(job.id)


class AdapterPromotionProvider(ResourceProvider):
    """The version of an adapter that is served."""

    serialize_as_secret_always = False

    def configure(self, req: ConfigureRequest) -> None:
        end_with_engine()

    def diff(self, _id: str, _olds: Props, _news: Props) -> DiffResult:
        return DiffResult(
            changes=any(_olds.get(key) != _news.get(key) for key in ("adapterDirectory", "gatePassed", "isPinned"))
        )

    def create(self, props: Props) -> CreateResult:
        return CreateResult(props["name"], _promoted(props))

    def update(self, _id: str, _olds: Props, _news: Props) -> UpdateResult:
        return UpdateResult(_promoted(_news))


def home_of(project: Path, stack: str, name: str) -> Path:
    """Where a tuning of this machine has its data, checkpoints, adapters and reports."""
    return project / ".modelyard" / "local" / stack / "tuning" / name


def _promoted(props: Props) -> Props:
    """Raises GateMissed, unless versions are served by their names: then the gate decides nothing, and is told of."""
    if props.get("gatePassed") is False:
        missed = "; ".join(props.get("gateFailures") or ()) or "no figure was measured"
        finding = not_ready(
            "GateMissed",
            f"{missed}. What was served before is served still; the adapter is in "
            f"{props['adapterDirectory']}, and its report beside it. Correct the data or the settings, or lower "
            "tuning.evaluation.gate",
        )
        if not props.get("isPinned"):
            raise GateMissed(str(NotReady(props["name"], finding)))
        say(f"{props['name']}: {finding.reason}: {missed}; the workspaces serve the versions that they name")
    return {**props, "source": f"file:{props['adapterDirectory']}"}


def _run(props: Props, olds: Props) -> Props:
    project, name = Path.cwd(), props["name"]
    home = home_of(project, props["stack"], name)
    job = _job(props)
    with _explained():
        begun = time.monotonic()
        looks = fingerprint(job.data)
        fetched = weights.fetch(project, job.weights, lambda text: say(f"{name}: {text}"))
        home.mkdir(parents=True, exist_ok=True)
        ray = LocalRay(project, props["stack"])
        record = ray.record()
        if record is None:
            raise TuningFailed("Ray is not running; run pulumi up --refresh")
        started = datetime.now(UTC)
        with RayJobs(record.dashboard_url, ray.token()) as jobs:
            result = run(
                jobs, _request(props, _placed(job, project, home), looks or ""), props["readyTimeoutSeconds"], say
            )
        seconds = time.monotonic() - begun
    say(f"{name}: {result.message} ({seconds:.0f} s)")
    return _outputs(props, olds, result, started) | {
        "dataFingerprint": looks or "",
        "weightsDigest": fetched.digest,
        "seconds": round(seconds, 1),
    }


def _placed(job: TuningJob, project: Path, home: Path) -> TuningJob:
    """The job with its directory, and with the project's own data named from the root."""
    kind, _, path = (job.data.dataset or "").partition(":")
    dataset = f"file:{project / path}" if kind == "file" else job.data.dataset
    return job.model_copy(update={"directory": str(home), "data": job.data.model_copy(update={"dataset": dataset})})


def _outputs(props: Props, olds: Props, result: TuningProgress, started: datetime) -> Props:
    began = started.strftime("%Y-%m-%dT%H:%M:%SZ")
    findings: dict[ConditionType, Finding] = {
        "ResourceReady": ready("RayRunning", f"Ray runs on {props['where']}"),
        "JobStarted": ready("JobStarted", f"the tuning was started at {began}"),
        "TuningReady": ready("TuningSucceeded", result.message),
        "WorkspaceReady": ready("WorkspaceReady", "the adapter is made and published"),
    }
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        **props,
        "conditions": [each.to_output() for each in transition(findings, olds.get("conditions") or (), now)],
        "createdAt": olds.get("createdAt") or now,
        "steps": result.steps,
        "loss": result.loss,
        "metrics": dict(result.metrics),
        "adapterDigest": result.adapter_digest or "",
        "adapterDirectory": result.adapter_directory or "",
        "imageDigest": result.image_digest or "",
        "gatePassed": result.gate_passed is not False,
        "gateFailures": list(result.gate_failures),
        "drift": "",
    }


def _request(props: Props, job: TuningJob, looks: str) -> TuningRequest:
    """The request for a placed job; its digest is that of the job as the plan has it, the same in every folder."""
    python = serving_environment.program(Path.cwd(), "python")
    environment = {JOB_VARIABLE: job.model_dump_json(), **CPU_ALLOCATOR}
    return TuningRequest(
        workspace=props["name"],
        digest=f"{_job(props).digest}{looks and '-'}{looks}",
        # Ray sets it to the job's CPUs, which are none; torch's own choice is the cores that it may use.
        entrypoint=f"env -u OMP_NUM_THREADS {python} -m {ENTRYPOINT}",
        environment=environment,
        gpus=int(props["numGpus"]),
    )


def _job(props: Mapping[str, Any]) -> TuningJob:
    return TuningJob.model_validate(json.loads(props["job"]))


def _lost(props: Mapping[str, Any]) -> str:
    directory = props.get("adapterDirectory")
    return f"the adapter is not in {directory} any more" if directory and not Path(directory).is_dir() else ""


@contextmanager
def _explained() -> Iterator[None]:
    """Failures that have a cause and a way out, as the one exception whose text is for people."""
    try:
        yield
    except weights.WeightsFailed as problem:
        raise TuningFailed(f"{problem.reason}: {problem}") from problem
    except NotReady as problem:
        raise TuningFailed(f"{problem}. What was served before is served still") from problem
    except (RayUnreachable, JobRejected, Timeout) as problem:
        raise TuningFailed(f"{problem}; run pulumi up --refresh") from problem
    except serving_environment.ServingEnvironmentMissing as problem:
        raise TuningFailed(str(problem)) from problem
