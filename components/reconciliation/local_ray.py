"""This machine's Ray for one stack: started once, outliving `pulumi up`, ended by `pulumi destroy`.

What is known of it stands in `.modelyard/local/<stack>/ray.json`, written before the first process starts, so that a
killed `pulumi up` leaves nothing that the next one cannot find. Every process carries that folder in its environment;
this mark, and not a name or a port, decides what is ours, also where the record was lost. `ray stop` is never called:
it ends every Ray of the machine.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import httpx
import psutil
from filelock import FileLock, Timeout

from components.reconciliation import ports, processes, serving_environment
from components.reconciliation.ray_dashboard import RayDashboard, RayUnreachable, ServeRejected

HOME_VARIABLE = "MODELYARD_RAY_HOME"
"""In the environment of every process of a stack's Ray: the folder that its record lies in."""

DASHBOARD_PORT = 8265
SERVE_PORT = 8000
_START_SECONDS = 120
_SILENT_SECONDS = 60
_WITHHELD = re.compile(
    r"^(PULUMI|RAY|AWS|ARM|AZURE|GOOGLE|GITHUB)_|TOKEN|SECRET|PASSWORD|PASSPHRASE|CREDENTIAL|_KEY$"
    r"|^(VIRTUAL_ENV|PYTHONHOME|PYTHONDONTWRITEBYTECODE)$"
)
"""Variables that Ray's processes do not get: other people's secrets, settings for another Ray, what an activated
environment leaves (PYTHONDONTWRITEBYTECODE would have every worker compile torch anew)."""
_OBJECT_STORE_BYTES = 128 * 1024 * 1024
"""Requests do not pass through Ray's object store; Ray's own default is 30% of the memory."""
_TOKEN_PATH = {
    "RAY_SERVE_PROXY_USE_GRPC": "1",
    "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0",
    "RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP": "0",
    # An answer that is not streamed is one message, and the default of 4 MiB would make a large one a 500.
    "RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH": str(2**31 - 1),
}
"""How Ray Serve brings tokens from a replica to the proxy: in one thread on either side and by gRPC, since every detour
takes time of the cores that make the next token. One client got 0.73 of llama-server's tokens a second with Ray's own
settings, 0.81 with gRPC, and 0.95 with one thread on either side too (two cores, in turns)."""


class RayFailed(Exception):
    """Ray did not start; the text has Ray's own last words and where its log is."""


class RayEndedEarly(RayFailed):
    """Ray's process ended before it was ready."""


@dataclass(frozen=True, kw_only=True)
class RayRecord:
    """One instance of Ray.

    `started` is the creation time of `pid` in seconds since the epoch: a pid can be reused. `start_seconds` is how
    long it took until the HTTP proxy answered; 0 until then.
    """

    instance: str
    temp_dir: str
    dashboard_port: int
    serve_port: int
    environment: str
    num_cpus: int | None = None
    pid: int = 0
    started: float = 0.0
    start_seconds: float = 0.0

    @property
    def dashboard_url(self) -> str:
        return f"http://{ports.LOOPBACK}:{self.dashboard_port}"

    @property
    def serve_url(self) -> str:
        return f"http://{ports.LOOPBACK}:{self.serve_port}"


@dataclass(frozen=True, kw_only=True)
class RayWish:
    """What the stack's config asks for; None: the next free port, or Ray's own count of CPUs.

    `environment` is a digest of the serving dependencies: another one needs new Ray processes.
    """

    serve_port: int | None = None
    dashboard_port: int | None = None
    num_cpus: int | None = None
    environment: str = ""


def fits(record: RayRecord, wish: RayWish) -> bool:
    """Whether the instance is what is asked for; a port that is left open fits any."""
    return (
        wish.serve_port in (None, record.serve_port)
        and wish.dashboard_port in (None, record.dashboard_port)
        and wish.num_cpus == record.num_cpus
        and wish.environment == record.environment
    )


class LocalRay:
    """Starts, finds and ends the Ray of one stack, from the project's directory."""

    def __init__(self, project: Path, stack: str) -> None:
        self._project = project
        self._home = project / ".modelyard" / "local" / stack
        self._mark = (HOME_VARIABLE, str(self._home))
        self._record_file = self._home / "ray.json"
        self._token_file = self._home / "ray-token"
        self.log_file = self._home / "ray.log"
        # Short, because Ray puts UNIX sockets below it and their paths are limited to 107 bytes.
        self._temp_prefix = f"modelyard-{hashlib.sha256(str(self._home).encode()).hexdigest()[:8]}-"

    def record(self) -> RayRecord | None:
        """What is known of the last instance; None if there was none, or if somebody has damaged the file."""
        try:
            return RayRecord(**json.loads(self._record_file.read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def processes(self) -> list[psutil.Process]:
        """Every process of this stack's Ray."""
        return processes.family(*self._mark)

    def token(self) -> str | None:
        """What its dashboard asks for."""
        return self._token_file.read_text().strip() if self._token_file.exists() else None

    def dashboard(self, record: RayRecord) -> RayDashboard:
        return RayDashboard(
            record.dashboard_url,
            serve_url=record.serve_url,
            serve_port=record.serve_port,
            token=self.token(),
            lock_file=self._home / "serve.lock",
        )

    def problem(self) -> str:
        """Why Ray cannot be used now, as a sentence; empty when its process lives and its dashboard answers."""
        record = self.record()
        if record is None:
            return "Ray is not running: it was never started, or it was destroyed"
        if not processes.is_alive(record.pid, record.started):
            return f"Ray is not running: its process {record.pid} is gone"
        try:
            with self.dashboard(record) as dashboard:
                dashboard.version()
                dashboard.applications()
        except RayUnreachable as problem:
            return str(problem)
        return ""

    def is_gone(self) -> bool:
        """Whether there is no Ray to speak of: never started, ended, or its process killed. A silent one is there."""
        record = self.record()
        return record is None or not processes.is_alive(record.pid, record.started)

    def ensure(self, wish: RayWish, progress: Callable[[str], None]) -> RayRecord:
        """Ray as wished: the running one where it fits, else a new one. Raises PortTaken or RayFailed.

        A Ray that is replaced ends with all its applications; their own reconciliation brings them back.
        """
        self._home.mkdir(parents=True, exist_ok=True)
        with FileLock(self._home / "ray.lock"):
            record = self.record()
            if record is not None and fits(record, wish) and self._answers(progress):
                return record
            # Everything that can be refused is refused before a living Ray is touched.
            executable = serving_environment.program(self._project, "ray")
            alive = not self.is_gone()
            if not alive:
                self._end(record)
            # A chosen port is free for others until Ray listens there, so one Ray of a person starts at a time.
            with self._one_start_at_a_time(progress):
                successor = self._successor(wish, record, ours=alive)
                if alive:
                    self._end(record)
                try:
                    return self._start(executable, successor, wish, progress)
                except RayEndedEarly as failure:
                    # It gives up after 30 s of its own, which a machine that is busy with something else can exceed.
                    progress(f"{failure}; trying once more")
                    return self._start(executable, self._successor(wish, successor, ours=False), wish, progress)

    def stop(self) -> None:
        """End this stack's Ray and every process that came from it; nothing else is touched."""
        if not self._home.exists():
            return
        with FileLock(self._home / "ray.lock"):
            self._end(self.record())
            self._token_file.unlink(missing_ok=True)

    @contextmanager
    def _one_start_at_a_time(self, progress: Callable[[str], None]) -> Iterator[None]:
        lock = FileLock(Path(tempfile.gettempdir()) / f"modelyard-{os.getuid()}-ports.lock")
        try:
            lock.acquire(blocking=False)
        except Timeout:
            progress("another Ray of yours is starting; waiting until it has its ports")
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def _answers(self, progress: Callable[[str], None]) -> bool:
        """Whether Ray can be used. One that lives but is silent gets time: ending it would end its models too."""
        end = time.monotonic() + _SILENT_SECONDS
        said = ""
        while problem := self.problem():
            if self.is_gone() or time.monotonic() > end:
                progress(f"{problem}; a new Ray is started")
                return False
            if problem != said:
                progress(f"{problem}; waiting up to {_SILENT_SECONDS} s for it")
                said = problem
            time.sleep(1)
        return True

    def _start(self, executable: Path, record: RayRecord, wish: RayWish, progress: Callable[[str], None]) -> RayRecord:
        self._token_file.unlink(missing_ok=True)
        with open(self._token_file, "x", opener=lambda path, flags: os.open(path, flags, 0o600)) as token:
            token.write(secrets.token_hex(32))
        Path(record.temp_dir).mkdir(mode=0o700)
        self._write(record)
        progress(f"Ray starts on this machine: dashboard {record.dashboard_url}, HTTP {record.serve_url}")
        begun = time.monotonic()
        process = self._spawn(executable, record, wish)
        record = replace(record, pid=process.pid, started=processes.created_at(process.pid))
        self._write(record)
        try:
            self._await(record, process)
        except BaseException:
            # What has not become ready is in no state, so nobody else would end it.
            self._end(record)
            raise
        record = replace(record, start_seconds=round(time.monotonic() - begun, 3))
        self._write(record)
        progress(f"Ray answers after {record.start_seconds:.0f} s")
        return record

    def _successor(self, wish: RayWish, before: RayRecord | None, *, ours: bool) -> RayRecord:
        """The next instance. The last one's ports come first: an endpoint keeps its address over a repair.

        `ours`: the last instance lives, so that its ports are in use, and free once it has ended.
        """
        held = {before.serve_port, before.dashboard_port} if before is not None and ours else set[int]()
        old_serve, old_dashboard = (before.serve_port, before.dashboard_port) if before else (None, None)
        serve = ports.choose(
            wish.serve_port, (old_serve, SERVE_PORT), "modelyard:ray.servePort", ours=held, taken=set()
        )
        dashboard = ports.choose(
            wish.dashboard_port,
            (old_dashboard, DASHBOARD_PORT),
            "modelyard:ray.dashboardPort",
            ours=held,
            taken={serve},
        )
        instance = secrets.token_hex(4)
        temp_dir = Path(tempfile.gettempdir()) / f"{self._temp_prefix}{instance}"
        return RayRecord(
            instance=instance,
            temp_dir=str(temp_dir),
            dashboard_port=dashboard,
            serve_port=serve,
            environment=wish.environment,
            num_cpus=wish.num_cpus,
        )

    def _spawn(self, executable: Path, record: RayRecord, wish: RayWish) -> subprocess.Popen[bytes]:
        gcs, client, agent, agent_grpc, runtime_env, metrics, *metric_servers = ports.any_free(8)
        command = [
            *(str(executable), "start", "--head", "--block", "--disable-usage-stats"),
            f"--node-ip-address={ports.LOOPBACK}",
            f"--port={gcs}",
            f"--ray-client-server-port={client}",
            *(
                f"--dashboard-host={ports.LOOPBACK}",
                f"--dashboard-port={record.dashboard_port}",
                "--include-dashboard=true",
            ),
            *(f"--dashboard-agent-listen-port={agent}", f"--dashboard-agent-grpc-port={agent_grpc}"),
            *(f"--runtime-env-agent-port={runtime_env}", f"--metrics-export-port={metrics}"),
            # 0: the operating system chooses, so that another Ray's range of worker ports is never entered.
            *("--min-worker-port=0", "--max-worker-port=0"),
            f"--object-store-memory={_OBJECT_STORE_BYTES}",
            f"--temp-dir={record.temp_dir}",
        ]
        if wish.num_cpus is not None:
            command.append(f"--num-cpus={wish.num_cpus}")
        with open(self.log_file, "wb") as log:
            return subprocess.Popen(
                command,
                cwd=self._project,
                env=self._environment(metric_servers),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _environment(self, metric_servers: list[int]) -> dict[str, str]:
        own = {name: value for name, value in os.environ.items() if not _WITHHELD.search(name)}
        dashboard_metrics, autoscaler_metrics = metric_servers
        return own | {
            HOME_VARIABLE: str(self._home),
            "PYTHONPATH": str(self._project),
            # The update has just fetched the weights; a replica takes the same files, whatever the hub has by then.
            "HF_HUB_OFFLINE": "1",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(self._token_file),
            # Ray would have its workers, and so the engine, step back behind every other process of the machine.
            "RAY_worker_niceness": "0",
            **_TOKEN_PATH,
            # Without it Ray replaces 127.0.0.1 by the machine's outer address and listens on all interfaces.
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
            "DASHBOARD_METRIC_PORT": str(dashboard_metrics),
            "AUTOSCALER_METRIC_PORT": str(autoscaler_metrics),
        }

    def _await(self, record: RayRecord, process: subprocess.Popen[bytes]) -> None:
        """Wait until the dashboard and Ray Serve's HTTP proxy answer."""
        end = time.monotonic() + _START_SECONDS
        problem, serve_started = "", False
        with self.dashboard(record) as dashboard:
            while time.monotonic() < end:
                if process.poll() is not None:
                    raise RayEndedEarly(f"Ray ended while it started (exit {process.returncode}): {self._last_words()}")
                try:
                    if not serve_started:
                        dashboard.start_serve()
                        serve_started = True
                    # Any answer will do: without applications the proxy says 503 to its own health check.
                    httpx.get(f"{record.serve_url}/-/healthz", trust_env=False)
                    return
                except (RayUnreachable, ServeRejected, httpx.HTTPError) as error:
                    problem = str(error)
                time.sleep(0.2)
        raise RayFailed(f"Ray was not ready after {_START_SECONDS} s ({problem}): {self._last_words()}")

    def _last_words(self) -> str:
        lines = [line.strip() for line in self.log_file.read_text(errors="replace").splitlines() if line.strip()]
        return f"{lines[-1] if lines else 'it said nothing'} (log: {self.log_file})"

    def _end(self, record: RayRecord | None) -> None:
        """End every process of this stack's Ray, whatever the record knows of it, and remove what it left."""
        pid, started = (record.pid, record.started) if record is not None else (0, 0.0)
        processes.end(pid, started, mark=self._mark)
        for folder in Path(tempfile.gettempdir()).glob(f"{self._temp_prefix}*"):
            shutil.rmtree(folder, ignore_errors=True)
        self._record_file.unlink(missing_ok=True)
        if record is not None:
            ports.wait_until_free({record.serve_port, record.dashboard_port})

    def _write(self, record: RayRecord) -> None:
        """Atomic, so that a kill in between leaves the old record or the new one."""
        partial = self._record_file.with_suffix(".partial")
        partial.write_text(json.dumps(asdict(record), indent=2, sort_keys=True) + "\n")
        partial.replace(self._record_file)
