"""What is wrong with one container of a pod: memory, image, start, crash.

States and reasons are the kubelet's: pkg/kubelet/images/types.go, container/sync_result.go and
kuberuntime/kuberuntime_container.go of Kubernetes 1.36.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from components.reconciliation.cluster import event
from components.reconciliation.cluster.api import Json
from components.reconciliation.cluster.cause import Cause, cut
from components.reconciliation.cluster.partial_json import mapping, mappings, name_of, number, text
from components.reconciliation.cluster.volumes import WITHOUT_VOLUMES

OOM_IS_FINAL = 2
"""Restarts after which the same memory will not be enough the next time either."""
CRASH_IS_FINAL = 3
"""Restarts after which a crash repeats itself; Ray Serve gives a replica as many attempts."""

_PULL = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"}
_START = {
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
    "PreCreateHookError",
    "PreStartHookError",
    "PostStartHookError",
}
_START_ENDED = {"StartError", "ContainerCannotRun"}
_EXITS = {
    126: "the command cannot be executed",
    127: "the command is not in the image",
    132: "SIGILL: the CPU lacks an instruction",
    134: "SIGABRT: it gave up by itself",
    135: "SIGBUS: most often /dev/shm is full",
    137: "SIGKILL: the node's memory ran out, or a liveness probe failed",
    139: "SIGSEGV: a crash in native code",
    143: "SIGTERM: it was asked to end",
}
_UNMOUNTED_IMAGE = re.compile(r'failed to mkdir ""')
"""Words of containerd before 2.1, to which the kubelet gives an image volume as a mount without a source."""
_IMAGE_KEYS = "modelyard:kubernetes.image and imagePullSecrets"
_VOLUME_KEYS = "presetOptions.image and presetOptions.imagePullSecrets"
_PULL_WAYS_OUT = (
    (r"unauthorized|authentication|denied|forbidden|\b40[13]\b", "check the pull secrets: {keys}"),
    (r"no match for platform|exec format", "build the image for the nodes' platform: modelyard:kubernetes.image"),
    (r"not found|manifest unknown|does not exist", "check the name and the tag: {keys}"),
    (r"no space left", "the node's disk is full: take a size with a larger disk in resource.instanceType"),
    (r"x509|certificate", "have the nodes trust the registry's certificate, or use another registry"),
)
_PASSING = re.compile(
    r"no such host|timeout|timed out|connection (refused|reset)|toomanyrequests|\b(429|50[0234])\b|EOF|unavailable",
    re.I,
)


@dataclass(frozen=True, kw_only=True)
class Container:
    """A container's spec and status side by side."""

    pod: Json
    title: str
    """Such as "init container weights of pod chat-0"."""
    name: str
    spec: Json
    status: Json
    repeats: int
    """Restarts, and failed pods of the same Job beside this one."""

    @property
    def ended(self) -> Json:
        """How it ended: this time, or the time before while it waits or runs again."""
        return mapping(self.status, "state", "terminated") or mapping(self.status, "lastState", "terminated")


def containers_of(pod: Json, failed_siblings: int = 0) -> list[Container]:
    """Init containers, sidecars and containers that have a status."""
    found: list[Container] = []
    for specs, statuses, kind in (
        ("initContainers", "initContainerStatuses", "init container"),
        ("containers", "containerStatuses", "container"),
    ):
        by_name = {text(spec, "name"): spec for spec in mappings(pod, "spec", specs)}
        for status in mappings(pod, "status", statuses):
            name = text(status, "name")
            spec = by_name.get(name, {})
            is_sidecar = kind == "init container" and text(spec, "restartPolicy") == "Always"
            title = f"{'sidecar' if is_sidecar else kind} {name or '(unnamed)'} of pod {name_of(pod) or '(unnamed)'}"
            repeats = number(status, "restartCount") + failed_siblings
            found.append(Container(pod=pod, title=title, name=name, spec=spec, status=status, repeats=repeats))
    return found


def container_cause(container: Container, events: Sequence[Json]) -> Cause | None:
    """None for a container that is ready, has ended well, or is still starting for the first time.

    One that runs is judged by its past, and never finally: what it was is no proof of what it will be.
    """
    if container.status.get("ready") is True:
        return None
    cause = _judged(container, events)
    runs = "running" in mapping(container.status, "state")
    return replace(cause, final=False) if cause is not None and runs else cause


def _judged(container: Container, events: Sequence[Json]) -> Cause | None:
    waits_for = text(container.status, "state", "waiting", "reason")
    ended_by = text(container.ended, "reason")
    if ended_by == "OOMKilled":
        return _out_of_memory(container)
    if waits_for in _PULL:
        return _image_pull(container, waits_for, events)
    if waits_for in _START or ended_by in _START_ENDED:
        return _start_error(container, waits_for if waits_for in _START else ended_by)
    if waits_for == "CrashLoopBackOff" or number(container.ended, "exitCode") != 0:
        return _crash(container)
    return None


def exit_words(code: int) -> str:
    """
    >>> exit_words(139), exit_words(1), exit_words(136)
    ('exit code 139 (SIGSEGV: a crash in native code)', 'exit code 1', 'exit code 136 (signal 8)')
    """
    meaning = _EXITS.get(code) or (f"signal {code - 128}" if 128 < code < 193 else "")
    return f"exit code {code}" + (f" ({meaning})" if meaning else "")


def is_head(pod: Json) -> bool:
    """Whether it is Ray's head pod, by KubeRay's label."""
    return text(pod, "metadata", "labels", "ray.io/node-type") == "head"


def _out_of_memory(container: Container) -> Cause:
    limit = text(container.spec, "resources", "limits", "memory")
    if is_head(container.pod):
        way_out = "raise modelyard:kubernetes.head.memory"
    else:
        way_out = "take a size with more memory in resource.instanceType, or a smaller model"
    return Cause(
        reason="ContainerOOMKilled",
        message=f"{container.title} was killed for using more than its {limit or 'share'} of memory"
        f"{_again(container)}; {way_out}",
        pod=name_of(container.pod),
        container=container.name,
        final=container.repeats >= OOM_IS_FINAL,
    )


def _image_pull(container: Container, waits_for: str, events: Sequence[Json]) -> Cause:
    own = text(container.spec, "image") or text(container.status, "image")
    waiting = text(container.status, "state", "waiting", "message")
    mounted = [text(volume, "image", "reference") for volume in mappings(container.pod, "spec", "volumes")]
    image = next((each for each in mounted if each and each in waiting and each != own), own)
    keys = _IMAGE_KEYS if image == own else _VOLUME_KEYS
    said = _pull_words(container, image, events)
    passing = waits_for != "InvalidImageName" and _PASSING.search(said) is not None
    ways_out = (way_out for pattern, way_out in _PULL_WAYS_OUT if re.search(pattern, said, re.IGNORECASE))
    if passing:
        way_out = "the kubelet tries again; check that the nodes reach the registry"
    else:
        way_out = next(ways_out, "check the name and the pull secrets: {keys}").format(keys=keys)
    return Cause(
        reason="ImagePullError",
        message=f"{container.title}: image {image or '(none)'} cannot be pulled: {cut(said) or waits_for}; {way_out}",
        pod=name_of(container.pod),
        container=container.name,
        final=waits_for != "ErrImagePull" and not passing,
    )


def _pull_words(container: Container, image: str, events: Sequence[Json]) -> str:
    """The registry's answer: since 1.31 it stands in the status, before it stood only in an event."""
    said = text(container.status, "state", "waiting", "message")
    if ": " in said.replace(image, ""):
        return said
    failed = event.about(container.pod, events, "Pod", ("Failed",))
    answers = (event.words(one) for one in failed if event.words(one).startswith(f'Failed to pull image "{image}"'))
    return next(answers, said)


def _start_error(container: Container, failure: str) -> Cause:
    said = text(container.status, "state", "waiting", "message") or text(container.ended, "message")
    if "back-off" in said:
        said = text(container.ended, "message") or said
    named = re.search(r"(?i)(secret|configmap) (?:[\w.-]+/)?\"?([\w.-]+)", said)
    if named and re.search("not found|couldn't find key|non-existent", said):
        kind = "ConfigMap" if named[1].lower() == "configmap" else "Secret"
        place = text(container.pod, "metadata", "namespace")
        way_out = f"make {kind} {named[2]}" + (f" in namespace {place}" if place else "") + ", or correct its name"
    elif "runAsNonRoot" in said or "non-root" in said:
        way_out = "use an image whose user is not root: modelyard:kubernetes.image"
    elif _UNMOUNTED_IMAGE.search(said):
        way_out = f"the node's container runtime mounts no images: {WITHOUT_VOLUMES}, or renew it"
    elif "executable file not found" in said or "no such file" in said:
        way_out = "use an image that has the program: modelyard:kubernetes.image"
    elif "nvidia" in said:
        way_out = "check the GPU driver and NVIDIA's container toolkit on the node"
    else:
        way_out = f"look at it with {_kubectl(container.pod, 'describe pod')}"
    cannot_pass = failure == "CreateContainerConfigError" and "timed out" not in said
    return Cause(
        reason="ContainerStartError",
        message=f"{container.title} cannot be started: {failure}: {cut(said) or 'no words'}; {way_out}",
        pod=name_of(container.pod),
        container=container.name,
        final=cannot_pass or container.repeats >= CRASH_IS_FINAL,
    )


def _crash(container: Container) -> Cause:
    said = text(container.ended, "message")
    stays_dead = (
        text(container.pod, "spec", "restartPolicy") == "Never"
        and text(container.pod, "status", "phase") == "Running"
        and bool(mapping(container.status, "state", "terminated"))
    )
    how = f"ended with {exit_words(number(container.ended, 'exitCode'))}" if container.ended else "keeps ending"
    again = " and is not started again (restartPolicy Never)" if stays_dead else _again(container)
    way_out = f"its log says why: {_kubectl(container.pod, 'logs')} -c {container.name}"
    if container.repeats and not mapping(container.status, "state", "terminated"):
        way_out += " --previous"
    return Cause(
        reason="ContainerCrashLoopBackOff",
        message=f"{container.title} {how}{again}" + (f": {cut(said)}" if said else "") + f"; {way_out}",
        pod=name_of(container.pod),
        container=container.name,
        final=stays_dead or container.repeats >= CRASH_IS_FINAL,
        wants_log=not said,
    )


def _again(container: Container) -> str:
    if not container.repeats:
        return ""
    return f", {container.repeats} {'time' if container.repeats == 1 else 'times'} before"


def _kubectl(pod: Json, command: str) -> str:
    place = text(pod, "metadata", "namespace")
    return f"kubectl {f'-n {place} ' if place else ''}{command} {name_of(pod)}"
