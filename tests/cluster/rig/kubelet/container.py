"""One container of a pod: started, watched, restarted with a growing delay, stopped."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from pathlib import Path

from tests.cluster.rig.api import ApiError, Json, Unreachable
from tests.cluster.rig.kubelet import box
from tests.cluster.rig.kubelet.box import Boxed, CannotStart, Mount, Plan
from tests.cluster.rig.kubelet.context import Context
from tests.cluster.rig.kubelet.enter_box import CANNOT_START
from tests.cluster.rig.kubelet.environment import SYSTEM_PATH, environment, expand
from tests.cluster.rig.kubelet.events import now
from tests.cluster.rig.kubelet.identity import NotAllowed, identity
from tests.cluster.rig.kubelet.images import CannotPull, Pull
from tests.cluster.rig.kubelet.probes import Prober, Target, attempt
from tests.cluster.rig.kubelet.references import NotThere

LOG = logging.getLogger("rig.kubelet")

RETRY_SECONDS = 2.0
LONGEST_BACK_OFF = 30
"""Times the first one."""

FORGIVEN_SECONDS = 600.0
"""A container that ran for so long is restarted at once, as if it were the first time."""

KILLED = 128 + signal.SIGKILL


class Role(Enum):
    """What a container is to its pod."""

    INIT = "init"
    SIDECAR = "sidecar"
    """An init container that goes on running."""
    MAIN = "main"


class Container:
    """Driven by its pod's thread, which calls `tend` several times a second."""

    def __init__(self, spec: Json, role: Role, context: Context) -> None:
        self.spec, self.role, self._context = spec, role, context
        self.name: str = spec["name"]
        waiting = "PodInitializing" if context.pod["spec"].get("initContainers") else "ContainerCreating"
        self.state: Json = {"waiting": {"reason": waiting}}
        self.last_state: Json = {}
        self.started = False
        self.over = False
        """It has ended and will not be started again."""
        self.log: Path | None = None
        self.previous_log: Path | None = None
        self._ready = False
        self._runs = 0
        self._crashes = 0
        self._failed_pulls = 0
        self._failed_image = ""
        self._due = 0.0
        self._began = 0.0
        self._started_at = ""
        self._unhealthy = ""
        self._boxed: Boxed | None = None
        self._probers: list[Prober] = []
        self._pull = self._new_pull()

    @property
    def running(self) -> bool:
        return self._boxed is not None

    @property
    def exit_code(self) -> int | None:
        """Of the last run, once it is over."""
        return self.state.get("terminated", {}).get("exitCode")

    @property
    def passed(self) -> bool:
        """Whether the next init container, or the main ones, may start."""
        return self.started if self.role is Role.SIDECAR else self.over and self.exit_code == 0

    @property
    def ready(self) -> bool:
        return self.passed if self.role is Role.INIT else self.started and self._ready

    def status(self) -> Json:
        """The container's entry in its pod's status."""
        status: Json = {
            "name": self.name,
            "image": self.spec.get("image", ""),
            "imageID": self.spec.get("image", "") if self._runs else "",
            "ready": self.ready,
            "started": self.started,
            "restartCount": max(0, self._runs - 1),
            "state": self.state,
        }
        if self._runs:
            status["containerID"] = self._id()
        return status | ({"lastState": self.last_state} if self.last_state else {})

    def tend(self) -> None:
        """See how it is, and start it if it is time to."""
        if self._boxed is not None:
            if (code := self._boxed.exit_code()) is not None:
                self._ended(code)
            elif self._unhealthy:
                reason, self._unhealthy = self._unhealthy, ""
                self._say("Killing", f"Container {self.name} failed {reason} probe, will be restarted")
                self._end_process(self._context.grace)
            else:
                return
        if not self.over and time.monotonic() >= self._due:
            self._try_to_start()

    def stop(self) -> None:
        """The pod is to end: the hook, a signal, and after the grace period the end."""
        self.over = True
        if self._boxed is None:
            return
        self._say("Killing", f"Stopping container {self.name}")
        deadline = time.monotonic() + self._context.grace
        self._pre_stop(self._context.grace)
        self._end_process(max(0.0, deadline - time.monotonic()))

    def kill(self) -> None:
        """End it at once, and say nothing."""
        if self._boxed is not None:
            self._stop_probes()
            with suppress(ProcessLookupError):
                os.kill(self._boxed.first, signal.SIGKILL)
            self._boxed.keeper.wait()
            self._boxed = None

    # Starting

    def _new_pull(self) -> Pull:
        image = self.spec.get("image", "")
        policy = self.spec.get("imagePullPolicy", "IfNotPresent")
        of = self._context
        return Pull(of.images, of.events, of.node, self.name, image, policy)

    def _try_to_start(self) -> None:
        waiting = self.state.get("waiting", {})
        if waiting.get("reason") == "ErrImagePull":
            self._back_off_pulling(waiting.get("message", ""))
            return
        try:
            if not self._pull.step():
                self._wait("ContainerCreating")
                return
            for reference in self._context.volumes.images(self.spec):
                self._context.images.check(reference)
            plan = self._plan()
        except CannotPull as error:
            self._image_failed(error)
        except (NotThere, NotAllowed) as error:
            self._wait("CreateContainerConfigError", str(error))
            self._warn("Failed", f"Error: {error}")
            self._due = time.monotonic() + RETRY_SECONDS
        except (ApiError, Unreachable) as error:
            LOG.info("%s/%s cannot be started yet: %s", self._context.name, self.name, error)
            self._due = time.monotonic() + RETRY_SECONDS
        else:
            self._start(plan)

    def _start(self, plan: Plan) -> None:
        self._keep_last_state()
        log = self._context.folder / self.name / f"{self._runs}.log"
        self._runs += 1
        self.log = log
        self._began, self._started_at = time.monotonic(), now()
        self._say("Created", f"Container created: {self.name}")
        try:
            self._boxed = box.start(plan, log, self._context.settings.netns)
        except CannotStart as error:
            message = f"failed to create containerd task: failed to create shim task: {error}"
            self._warn("Failed", f"Error: {message}")
            self._ended(CANNOT_START, "StartError", message)
            return
        (self._context.folder / f"{self.name}.pid").write_text(f"{self._boxed.first}\n", encoding="utf-8")
        self._say("Started", f"Container started: {self.name}")
        self.state = {"running": {"startedAt": self._started_at}}
        self._pull = self._new_pull()
        self._failed_pulls = 0
        self._start_probes(self._boxed)

    def _plan(self) -> Plan:
        of, spec = self._context, self.spec
        who = identity(of.pod["spec"], spec)
        base = {
            "PATH": f"{of.settings.venv}/bin:{SYSTEM_PATH}",
            "HOME": box.home_of(who.uid),
            "HOSTNAME": of.hostname,
        }
        env = environment(spec, of.references, base, of.addresses())
        command = [*spec.get("command", []), *spec.get("args", [])] or ["sleep", "infinity"]
        ours = [Mount(source=os.path.realpath(path), target=str(path), read_only=True) for path in of.settings.shown]
        hosts = Mount(source=str(of.hosts), target="/etc/hosts")
        return Plan(
            argv=[expand(word, env) for word in command],
            env=env,
            netns=f"/run/netns/{of.network.netns}",
            box=str(of.folder / self.name / "box"),
            hostname=of.hostname,
            workdir=spec.get("workingDir", "/"),
            uid=who.uid,
            gid=who.gid,
            groups=who.groups,
            capabilities=who.capabilities,
            no_new_privileges=who.no_new_privileges,
            read_only_root=who.read_only_root,
            hidden=[str(path) for path in of.settings.hidden],
            # Programs last: a volume over /tmp must not hide those of a checkout that lies there.
            mounts=[hosts, *of.volumes.mounts(spec, env), *ours],
            files={"/etc/passwd": box.passwd(), "/etc/group": box.group(), "/etc/resolv.conf": ""},
            homes=[(home, uid, gid) for uid, (_, gid, home) in box.USERS.items() if uid == 1000],
        )

    def _image_failed(self, error: CannotPull) -> None:
        self._failed_pulls += 1
        self._failed_image = error.reference
        self._pull = self._new_pull()
        self._warn("Failed", f'Failed to pull image "{error.reference}": {error}')
        self._warn("Failed", "Error: ErrImagePull")
        self._wait("ErrImagePull", str(error))
        self._due = time.monotonic() + 1.0

    def _back_off_pulling(self, message: str) -> None:
        image = self._failed_image
        self._say("BackOff", f'Back-off pulling image "{image}"')
        self._warn("Failed", "Error: ImagePullBackOff")
        self._wait("ImagePullBackOff", f'Back-off pulling image "{image}": ErrImagePull: {message}')
        self._due = time.monotonic() + self._delay(self._failed_pulls)

    # While it runs

    def _start_probes(self, boxed: Boxed) -> None:
        ports = {port["name"]: port["containerPort"] for port in self.spec.get("ports", []) if "name" in port}
        target = Target(boxed=boxed, address=self._context.address, ports=ports)
        self._ready = "readinessProbe" not in self.spec
        if "startupProbe" not in self.spec:
            self._has_started(target)
            return

        def decided(passed: bool) -> None:
            if passed and not self.started:
                self._probers[0].stop()
                self._has_started(target)
            elif not passed:
                self._unhealthy = "startup"

        self._probe("startupProbe", target, decided)

    def _has_started(self, target: Target) -> None:
        self.started = True
        if "readinessProbe" in self.spec:
            self._probe("readinessProbe", target, self._set_ready)
        if "livenessProbe" in self.spec:
            self._probe("livenessProbe", target, self._set_alive)

    def _set_ready(self, passed: bool) -> None:
        self._ready = passed

    def _set_alive(self, passed: bool) -> None:
        if not passed:
            self._unhealthy = "liveness"

    def _probe(self, field: str, target: Target, decided: Callable[[bool], None]) -> None:
        kind = field.removesuffix("Probe").capitalize()
        prober = Prober(
            self.spec[field], target, decided, lambda said: self._warn("Unhealthy", f"{kind} probe failed: {said}")
        )
        self._probers.append(prober)
        prober.start()

    def _stop_probes(self) -> None:
        for prober in self._probers:
            prober.stop()
        self._probers = []

    # Ending

    def _pre_stop(self, seconds: float) -> None:
        hook: Json = self.spec.get("lifecycle", {}).get("preStop", {})
        if self._boxed is None or not hook:
            return
        if "sleep" in hook:
            with suppress(subprocess.TimeoutExpired):
                self._boxed.keeper.wait(min(seconds, float(hook["sleep"]["seconds"])))
            return
        target = Target(boxed=self._boxed, address=self._context.address, ports={})
        verdict = attempt({**hook, "timeoutSeconds": seconds}, target)
        if not verdict.passed:
            self._warn("FailedPreStopHook", f"PreStopHook failed: {verdict.message}")

    def _end_process(self, seconds: float) -> None:
        boxed = self._boxed
        if boxed is None:
            return
        self._stop_probes()
        with suppress(ProcessLookupError):
            os.kill(boxed.first, signal.SIGTERM)
        try:
            boxed.keeper.wait(seconds)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.kill(boxed.first, signal.SIGKILL)
            boxed.keeper.wait()
        self._ended(boxed.exit_code() or 0)

    def _ended(self, code: int, reason: str = "", message: str = "") -> None:
        self._boxed = None
        self._stop_probes()
        self.started = self._ready = False
        if not reason:
            reason = "Completed" if code == 0 else "Error"
            with suppress(ApiError, Unreachable):
                if code == KILLED and self._context.wants_oom(self.name):
                    reason = "OOMKilled"
        terminated: Json = {
            "exitCode": code,
            "reason": reason,
            "startedAt": self._started_at,
            "finishedAt": now(),
            "containerID": self._id(),
        }
        self.state = {"terminated": terminated | ({"message": message} if message else {})}
        LOG.info("%s/%s has ended: %s, %d", self._context.name, self.name, reason, code)
        self.over = self.over or not self._restarts(code)
        if self.over:
            return
        if time.monotonic() - self._began > FORGIVEN_SECONDS:
            self._crashes = 0
        delay = self._delay(self._crashes)
        self._crashes += 1
        self._due = time.monotonic() + delay
        if delay:
            pod = f"{self._context.name}_{self._context.namespace}({self._context.uid})"
            self._warn("BackOff", f"Back-off restarting failed container {self.name} in pod {pod}")
            self._keep_last_state()
            said = f"back-off {delay:g}s restarting failed container={self.name} pod={pod}"
            self._wait("CrashLoopBackOff", said)

    def _restarts(self, code: int) -> bool:
        policy = self._context.pod["spec"].get("restartPolicy", "Always")
        if self.role is Role.SIDECAR:
            return True
        if self.role is Role.INIT:
            return code != 0 and policy != "Never"
        return policy == "Always" or (policy == "OnFailure" and code != 0)

    def _delay(self, failures: int) -> float:
        """Nothing the first time, then twice as long each time."""
        if failures == 0:
            return 0.0
        return self._context.settings.back_off * min(2 ** (failures - 1), LONGEST_BACK_OFF)

    # Saying what is

    def _keep_last_state(self) -> None:
        if "terminated" in self.state:
            self.last_state, self.previous_log = self.state, self.log

    def _wait(self, reason: str, message: str = "") -> None:
        self.state = {"waiting": {"reason": reason} | ({"message": message} if message else {})}

    def _id(self) -> str:
        return f"rig://{self._context.uid}-{self.name}-{max(0, self._runs - 1)}"

    def _say(self, reason: str, message: str) -> None:
        self._context.events.normal(reason, message, self.name)

    def _warn(self, reason: str, message: str) -> None:
        self._context.events.warning(reason, message, self.name)
