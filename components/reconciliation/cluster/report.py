"""Tells what was found of one workspace: its mirror on the cluster, and the outputs in Pulumi's state."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from components.reconciliation.cluster.api import ClusterApi
from components.reconciliation.cluster.mirror import Mirror, MirrorSpec, MirrorStatus, Owner, Performance, utc_now
from components.reconciliation.cluster.nodes import worker_nodes
from components.reconciliation.cluster.partial_json import text
from components.reconciliation.cluster.ray_service import ray_version
from components.reconciliation.cluster.reconcile import Reached
from components.reconciliation.cluster.values import Seen, Verdict
from components.reconciliation.decide import transition
from components.reconciliation.progress import say
from components.reconciliation.state import Condition, Finding

Props = dict[str, Any]


class Report:
    """Tells the mirror and the outputs what was found."""

    def __init__(self, api: ClusterApi, props: Props, olds: Props) -> None:
        self._mirror = Mirror(api)
        self._props = props
        self._olds = olds
        self._spec = MirrorSpec(**json.loads(props["mirror"]))
        self._conditions: list[Condition] = []
        self._complaint = ""

    def waiting(self, seen: Seen, verdict: Verdict, over: bool) -> None:
        self._write(seen, verdict, {}, None, final=over)

    def failed(self, reached: Reached, finding: Finding) -> None:
        """Of a workspace that was ready but for an answer."""
        findings = {**reached.verdict.findings, "InferenceReady": finding, "WorkspaceReady": finding}
        self._write(reached.seen, replace(reached.verdict, findings=findings), {}, None, final=True)

    def ready(self, reached: Reached, more: Mapping[str, float], performance: Performance | None) -> Props:
        phases = {name: round(seconds, 3) for name, seconds in {**reached.phases, **more}.items()}
        readiness = reached.seen.readiness
        if readiness is not None:
            phases |= {f"engine.{name}": round(seconds, 3) for name, seconds in readiness.phases.items()}
        performance = performance or _performance(self._olds)
        self._write(reached.seen, reached.verdict, phases, performance, final=True)
        return {
            **self._props,
            "conditions": [condition.to_output() for condition in self._conditions],
            "phases": phases,
            "performance": {} if performance is None else vars(performance),
            "workerNodes": worker_nodes(reached.seen.pods),
            "rayVersion": ray_version(reached.seen.clusters.values()),
            "createdAt": self._olds.get("createdAt", utc_now()),
            "mirrored": not self._complaint,
            "drift": "",
        }

    def _write(
        self,
        seen: Seen,
        verdict: Verdict,
        phases: Mapping[str, float],
        performance: Performance | None,
        *,
        final: bool,
    ) -> None:
        before = [each.to_output() for each in self._conditions] or self._olds.get("conditions", ())
        self._conditions = transition(verdict.findings, before, utc_now())
        status = MirrorStatus(
            conditions=self._conditions,
            endpoint=self._props["endpoint"],
            phases=phases,
            performance=performance,
            worker_nodes=worker_nodes(seen.pods),
            final=final,
        )
        sentence = self._mirror.write(self._spec, status, owner_of(self._spec, seen))
        if sentence and sentence != self._complaint:
            say(f"{self._spec.name}: {sentence}")
        self._complaint = sentence


def owner_of(spec: MirrorSpec, seen: Seen) -> Owner | None:
    """The RayService, or the Deployment of a template; None while there is none."""
    uid = text(seen.main or {}, "metadata", "uid")
    if not uid:
        return None
    api_version, kind = ("apps/v1", "Deployment") if spec.kind == "template" else ("ray.io/v1", "RayService")
    return Owner(apiVersion=api_version, kind=kind, name=spec.name, uid=uid)


def _performance(olds: Props) -> Performance | None:
    """Of the last start, where this update started nothing."""
    found = olds.get("performance") or {}
    return Performance(**found) if found else None
