"""Volumes that a pod's node cannot mount, of which only the kubelet's and the attach controller's events say so, and
images that a cluster does not mount."""

from __future__ import annotations

import re
from collections.abc import Sequence

from components.planning.manifests.scope import IMAGE_ANNOTATION
from components.reconciliation.cluster import event
from components.reconciliation.cluster.api import Json
from components.reconciliation.cluster.cause import Cause, cut
from components.reconciliation.cluster.partial_json import mappings, name_of, text

WITHOUT_VOLUMES = "set modelyard:kubernetes.imageVolumes: false, so that pods fetch it from its registry"

_REASONS = ("FailedMount", "FailedAttachVolume", "FailedMapVolume")
_PASSING = re.compile(r"failed to sync (configmap|secret) cache|not registered")
"""What a kubelet says of a pod that it has only just been given; the next try succeeds."""
_MISSING = re.compile(r'(?P<kind>persistentvolumeclaim|secret|configmap)s? "(?P<name>[^"]+)" not found', re.IGNORECASE)
_KEY = re.compile(r"references non-existent (secret|config) key: (?P<key>\S+)")
_UNBOUND = re.compile(r"PVC (?P<claim>\S+): PVC is not bound")
_VOLUME = re.compile(r'volume "(?P<single>[^"]+)"|unmounted volumes=\[(?P<several>[^\]]*)\]')
_KINDS = {"persistentvolumeclaim": "PersistentVolumeClaim", "secret": "Secret", "configmap": "ConfigMap"}


def mount_failure(pod: Json, events: Sequence[Json]) -> Cause | None:
    """None for a pod that has no node yet, or that has got as far as running."""
    if not text(pod, "spec", "nodeName") or text(pod, "status", "phase") not in ("Pending", ""):
        return None
    failures = [one for one in event.about(pod, events, "Pod", _REASONS) if not _PASSING.search(event.words(one))]
    exact = [one for one in failures if "timed out waiting" not in event.words(one)]
    told = exact or failures
    return _cause(pod, event.words(told[0])) if told else None


def dropped_image(pod: Json) -> Cause | None:
    """A pod without the image volume that it was asked for.

    An API server whose feature ImageVolume is off, as it is by default before Kubernetes 1.35, leaves out the volume
    and its mounts (dropImageVolumes in pkg/api/pod/util.go); one that does not know the field makes an emptyDir of it
    (SetDefaults_Volume in pkg/apis/core/v1/defaults.go). Neither says so.
    """
    image = text(pod, "metadata", "annotations", IMAGE_ANNOTATION)
    if not image or any(text(volume, "image", "reference") == image for volume in mappings(pod, "spec", "volumes")):
        return None
    name = name_of(pod)
    return Cause(
        reason="VolumeMountFailed",
        message=f"the cluster made pod {name or '(unnamed)'} without the image {cut(image)} that carries its weights, "
        "since it has no image volumes, which Kubernetes turns on by itself from 1.35 on; turn on its feature "
        f"ImageVolume, or {WITHOUT_VOLUMES}",
        pod=name,
        final=True,
    )


def _cause(pod: Json, words: str) -> Cause:
    name, place = name_of(pod), text(pod, "metadata", "namespace")
    where = f" in namespace {place}" if place else ""
    missing, unbound, key = _MISSING.search(words), _UNBOUND.search(words), _KEY.search(words)
    if missing:
        kind = _KINDS[missing["kind"].lower()]
        says, way_out = f'{kind} "{missing["name"]}" is not there', f"make it{where}, or correct its name"
    elif key:
        says, way_out = f"the key {key['key']} is not there", "add it to the Secret or ConfigMap, or correct its name"
    elif unbound:
        says = f"PersistentVolumeClaim {unbound['claim']} has no volume yet"
        way_out = "check its storage class with kubectl describe pvc"
    elif "Multi-Attach" in words:
        says = "another node holds it, and it can be on one node only"
        way_out = "use a claim that is ReadWriteMany: modelyard:kubernetes.weights"
    else:
        says, way_out = cut(words) or "no words", f"look at it with kubectl describe pod {name}"
    return Cause(
        reason="VolumeMountFailed",
        message=f"pod {name or '(unnamed)'} cannot mount {_volumes(pod, words)}: {says}; {way_out}",
        pod=name,
        final=missing is not None or key is not None,
    )


def _volumes(pod: Json, words: str) -> str:
    """The volumes by the pod's names for them, with their claims: events name some by the PersistentVolume instead."""
    match = _VOLUME.search(words)
    names = (match["single"] or match["several"] or "").split() if match else []
    claims = {
        text(volume, "name"): text(volume, "persistentVolumeClaim", "claimName")
        for volume in mappings(pod, "spec", "volumes")
    }
    listed = (name + (f" (PersistentVolumeClaim {claims[name]})" if claims.get(name) else "") for name in names)
    return "volume " + ", ".join(listed) if names else "a volume"
