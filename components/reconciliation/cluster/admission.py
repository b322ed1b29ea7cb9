"""Why the API server did not let a controller make its pods: quota, Pod Security, limits, and other refusals.

Only events say so, of the ReplicaSet, Job or RayCluster that wanted the pods. The words are those of
apiserver/pkg/admission/plugin/resourcequota, pod-security-admission and plugin/pkg/admission/limitranger in Kubernetes
1.36; KubeRay's reasons are in controllers/ray/utils/constant.go of 1.6.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from components.reconciliation.cluster import event
from components.reconciliation.cluster.api import Json
from components.reconciliation.cluster.cause import Cause, cut
from components.reconciliation.cluster.partial_json import text

_REASONS = {"FailedCreate", "FailedToCreateHeadPod", "FailedToCreateWorkerPod", "FailedToCreateRayCluster"}
_QUOTA = re.compile(
    r"exceeded quota: (?P<name>[^,]+), requested: (?P<requested>.+?), used: (?P<used>.+?), limited: (?P<limited>.+)",
    re.DOTALL,
)
_OTHER_QUOTA = re.compile(
    r"failed quota: (?P<words>.+)|(?P<scope>insufficient quota to match these scopes.+)", re.DOTALL
)
_POD_SECURITY = re.compile(r'violates PodSecurity "(?P<level>[^":]+)[^"]*": (?P<words>.+)', re.DOTALL)
_LIMIT_RANGE = re.compile(r"(maximum|minimum) [\w./-]+ usage per (Pod|Container) is|max limit to request ratio per")
_PRIORITY_CLASS = re.compile(r"no PriorityClass with name (?P<name>[\w.-]+) was found")
_QUANTITY = re.compile(r"(?P<digits>\d+(?:\.\d+)?)(?P<unit>m|[kMGTPE]i?|Ki)?")
_UNITS = "kMGTPE"


def refusal(pods: Iterable[Json], events: Sequence[Json]) -> Cause | None:
    """The newest refusal; none if a pod was made after it, since the controller then got what it had been refused."""
    newest_pod = max((event.created(pod) for pod in pods), default="")
    refused = event.newest_first(
        one
        for one in events
        if text(one, "reason") in _REASONS and (not event.last_seen(one) or event.last_seen(one) >= newest_pod)
    )
    return _cause(refused[0]) if refused else None


def _cause(refused: Json) -> Cause:
    subject, words = event.subject(refused), event.words(refused)
    who = f"{text(subject, 'kind') or 'a controller'} {text(subject, 'name')}".strip()
    place = text(subject, "namespace")
    where = f" in namespace {place}" if place else ""
    quota = _QUOTA.search(words)
    if quota:
        return Cause(
            reason="QuotaExceeded",
            message=f"{who} may not make its pod: quota {quota['name']} allows {cut(quota['limited'])}, of which "
            f"{cut(quota['used'])} is used, and {cut(quota['requested'])} more was requested; raise the quota{where}, "
            "or use fewer replicas or smaller nodes",
            final=never_fits(quota["requested"], quota["limited"]),
        )
    other = _OTHER_QUOTA.search(words)
    if other:
        said = cut(f"quota {other['words']}" if other["words"] else other["scope"])
        return Cause(
            reason="QuotaExceeded",
            message=f"{who} may not make its pod: {said}; change the quota{where}, or use another namespace",
            final=True,
        )
    security = _POD_SECURITY.search(words)
    if security:
        return Cause(
            reason="PodSecurityForbidden",
            message=f"{who} may not make its pod: level {security['level']} of Pod Security forbids "
            f"{cut(security['words'])}; use a namespace of level baseline (modelyard:kubernetes.namespace), or a "
            "volume that is no hostPath",
            final=True,
        )
    if _LIMIT_RANGE.search(words):
        return Cause(
            reason="LimitRangeExceeded",
            message=f"{who} may not make its pod: {cut(_after_forbidden(words))}; change the LimitRange{where}, or use "
            "smaller nodes",
            final=True,
        )
    return _other(who, words, where)


def _other(who: str, words: str, where: str) -> Cause:
    named = _PRIORITY_CLASS.search(words)
    if named:
        way_out = "make it, or correct modelyard:kubernetes.priorityClass"
    elif "denied the request" in words:
        way_out = "ask whoever runs this admission webhook"
    else:
        way_out = f"look at the events{where} with kubectl get events"
    said = cut(_after_forbidden(words)) or "no reason was given"
    return Cause(
        reason="PodCreateFailed", message=f"{who} cannot make its pod: {said}; {way_out}", final=named is not None
    )


def _after_forbidden(words: str) -> str:
    return words.rpartition(" is forbidden: ")[2]


def never_fits(requested: str, limited: str) -> bool:
    """Whether more is requested than the quota allows when nothing is used.

    >>> never_fits("limits.memory=64Gi,pods=1", "limits.memory=32Gi,pods=10")
    True
    >>> never_fits("requests.nvidia.com/gpu=1", "requests.nvidia.com/gpu=2")
    False
    """
    limits = _amounts(limited)
    return any(amount > limits.get(name, amount) for name, amount in _amounts(requested).items())


def _amounts(listed: str) -> dict[str, float]:
    pairs = (part.strip().rpartition("=") for part in listed.split(","))
    return {name: amount for name, _, value in pairs if (amount := _quantity(value)) is not None}


def _quantity(value: str) -> float | None:
    """
    >>> _quantity("1500m"), _quantity("2Gi"), _quantity("x")
    (1.5, 2147483648.0, None)
    """
    match = _QUANTITY.fullmatch(value.strip())
    if match is None:
        return None
    digits, unit = float(match["digits"]), match["unit"] or ""
    if unit == "m":
        return digits / 1000
    power = 0 if not unit else _UNITS.index(unit[0].replace("K", "k")) + 1
    return digits * (1024 if unit.endswith("i") else 1000) ** power
