"""What a user reads of a pod that the API server does not let anybody make."""

from __future__ import annotations

import pytest

from components.reconciliation.cluster.causes import cause_of
from tests.reconciliation.cluster.objects import container, event, found, nodes, pod

FORBIDDEN = 'Error creating: pods "chat-worker-2" is forbidden: '
QUOTA = "exceeded quota: team, requested: requests.nvidia.com/gpu=2, used: requests.nvidia.com/gpu=6, limited: "
RESTRICTED = 'violates PodSecurity "restricted:latest": runAsNonRoot != true (pod or container "ray-worker" must set '
RESTRICTED += "securityContext.runAsNonRoot=true), seccompProfile"


@pytest.mark.parametrize(
    ("words_of_event", "reason", "words", "final"),
    [
        (
            QUOTA + "requests.nvidia.com/gpu=6",
            "QuotaExceeded",
            "RayCluster chat-abc12 may not make its pod: quota team allows requests.nvidia.com/gpu=6, of which "
            "requests.nvidia.com/gpu=6 is used, and requests.nvidia.com/gpu=2 more was requested; raise the quota in "
            "namespace ml",
            False,
        ),
        (QUOTA + "requests.nvidia.com/gpu=1", "QuotaExceeded", "allows requests.nvidia.com/gpu=1", True),
        (
            "failed quota: team: must specify limits.cpu for: code",
            "QuotaExceeded",
            "quota team: must specify limits.cpu",
            True,
        ),
        (RESTRICTED, "PodSecurityForbidden", "level restricted of Pod Security forbids runAsNonRoot != true", True),
        (
            "maximum memory usage per Container is 8Gi, but limit is 64Gi",
            "LimitRangeExceeded",
            "maximum memory usage per Container is 8Gi, but limit is 64Gi; change the LimitRange in namespace ml",
            True,
        ),
        ("no PriorityClass with name urgent was found", "PodCreateFailed", "modelyard:kubernetes.priorityClass", True),
        ('admission webhook "kyverno" denied the request: no', "PodCreateFailed", "denied the request: no", False),
    ],
)
def test_a_pod_that_may_not_be_made(words_of_event: str, reason: str, words: str, final: bool) -> None:
    refused = event("FailedToCreateWorkerPod", FORBIDDEN + words_of_event, "chat-abc12", kind="RayCluster")
    cause = found(events=(refused,))
    assert cause.reason == reason
    assert words in cause.message
    assert cause.final is final


def test_a_refusal_is_past_when_a_pod_was_made_after_it() -> None:
    refused = event(
        "FailedCreate", FORBIDDEN + QUOTA + "pods=1", "chat-abc12", kind="ReplicaSet", at="2026-08-21T10:05:00Z"
    )
    before = pod("chat-0", container(), phase="Running", created="2026-08-21T10:04:59Z")
    after = pod("chat-1", container(), phase="Running", created="2026-08-21T10:05:01Z")
    assert found(before, events=(refused,)).reason == "QuotaExceeded"
    assert cause_of([before, after], nodes(), [refused]) is None
