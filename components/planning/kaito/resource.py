"""resource of a Workspace: node size, count, labels and partition, judged as KAITO's webhook judges them."""

from __future__ import annotations

from typing import Any

from components.planning.config import PartitionSpec
from components.planning.kaito.findings import Findings
from components.planning.kaito.schema import Resource, Selector
from components.planning.place import Place, shown
from presets.nearest import nearest

V1ALPHA1_INSTANCE_TYPE = "Standard_NC24ads_A100_v4"
"""What the v1alpha1 definition of Workspace fills in."""

RESERVED_LABELS = frozenset(
    {
        "kaito.sh/workspace",
        "kaito.sh/ragengine",
        "kaito.sh/workspacenamespace",
        "kaito.sh/ragenginenamespace",
        "karpenter.kaito.sh/workspace-name",
        "karpenter.kaito.sh/workspace-namespace",
        "karpenter.kaito.sh/inferenceset",
        "karpenter.kaito.sh/inferenceset-namespace",
    }
)
"""Labels that KAITO gives to nodes itself; it drops them from a selector (api/v1beta1/labels.go)."""

# Memory of a profile in GB, by its compute slices; KAITO's pkg/utils/mig/mig.go after NVIDIA's MIG user guide.
_MIG_MEMORY = {
    1: (5, 6, 10, 12, 18, 20, 23, 24, 35, 45),
    2: (10, 12, 20, 24, 35, 45),
    3: (20, 40, 47, 48, 71, 90),
    4: (20, 24, 40, 47, 48, 71, 90),
    7: (40, 80, 94, 96, 141, 180),
}
MIG_PROFILES = tuple(f"{slices}g.{memory}gb" for slices, memories in _MIG_MEMORY.items() for memory in memories)


def converted(
    resource: Resource,
    place: Place,
    findings: Findings,
    *,
    existing_nodes: bool,
    v1alpha1: bool,
    selector_place: Place | None = None,
) -> dict[str, Any]:
    """resource of our own form. `selector_place` is where the label selector stands if not in `place`."""
    raw: dict[str, Any] = {}
    if resource.instance_type and existing_nodes:
        findings.refuse(
            place.at("instanceType"),
            found=shown(resource.instance_type),
            allowed="nothing: instanceType must be empty on existing nodes (KAITO's BYO), as no node is made",
            do="remove it; labelSelector says which nodes are used",
        )
    elif resource.instance_type:
        raw["instanceType"] = resource.instance_type
    elif not existing_nodes:
        raw |= _no_instance_type(place, findings, v1alpha1=v1alpha1)
    raw |= _count_and_names(resource, place, findings)
    labels = match_labels(resource.label_selector, selector_place or place.at("labelSelector"), findings)
    if labels:
        raw["labelSelector"] = {"matchLabels": labels}
    if resource.partition is not None:
        raw |= _partition(resource.partition, place.at("partition"), findings, existing_nodes=existing_nodes)
    return raw


def _no_instance_type(place: Place, findings: Findings, *, v1alpha1: bool) -> dict[str, str]:
    here = place.at("instanceType")
    if v1alpha1:
        findings.warn(
            here,
            f"not given, so {V1ALPHA1_INSTANCE_TYPE}, which v1alpha1 fills in; "
            "under kaito.sh/v1beta1 the cheapest size that fits is chosen",
        )
        return {"instanceType": V1ALPHA1_INSTANCE_TYPE}
    findings.warn(
        here, "not given: the cheapest size that fits is chosen; KAITO refuses this unless the nodes exist already"
    )
    return {}


def _count_and_names(resource: Resource, place: Place, findings: Findings) -> dict[str, Any]:
    raw: dict[str, Any] = {}
    if resource.count is not None:
        raw["count"] = resource.count
        findings.warn(place.at("count"), "deprecated in v1beta1, where KAITO's vLLM runtime ignores it; honoured here")
    if resource.preferred_nodes:
        raw["preferredNodes"] = list(resource.preferred_nodes)
        findings.warn(place.at("preferredNodes"), "deprecated in v1beta1; labelSelector selects nodes")
    return raw


def match_labels(selector: Selector, place: Place, findings: Findings) -> dict[str, str]:
    """The labels that a node must have, without those that KAITO reserves for itself."""
    labels = dict(selector.match_labels)
    for index, expression in enumerate(selector.match_expressions):
        here = place.at("matchExpressions", index)
        if expression.operator != "In":
            findings.refuse(
                here.at("operator"),
                found=f'"{expression.operator}"',
                allowed="In, as in KAITO",
                do=f"write matchLabels: {{{expression.key}: VALUE}} with a label that the nodes have",
            )
        elif len(expression.values) != 1:
            findings.refuse(
                here.at("values"),
                found=f"{len(expression.values)} values",
                allowed="one value, as in KAITO: a label has only one",
                do="give all these nodes one label in common, or write a Workspace for each value",
            )
        else:
            labels[expression.key] = expression.values[0]
    reserved = [key for key in labels if key in RESERVED_LABELS]
    if reserved and len(reserved) == len(labels):
        findings.refuse(
            place.at("matchLabels"),
            found=f"only {', '.join(reserved)}, which KAITO gives to nodes itself",
            allowed="at least one label that is not reserved",
            do="add a label of your own, such as apps: NAME",
        )
    for key in reserved:
        findings.warn(place.at("matchLabels", key), "left out, as in KAITO, which gives this label to nodes itself")
    return {key: value for key, value in labels.items() if key not in RESERVED_LABELS}


def _partition(partition: PartitionSpec, place: Place, findings: Findings, *, existing_nodes: bool) -> dict[str, Any]:
    before = len(findings.problems)
    if not existing_nodes:
        findings.refuse(
            place,
            found=f"mode {partition.mode}, on nodes that are made for it",
            allowed="partitions on existing nodes (KAITO's BYO) only: a new node's GPUs are whole",
            do="remove it, or set modelyard:kubernetes to {nodes: existing}",
        )
    elif partition.mode == "mig":
        _check_mig(partition, place, findings)
    else:
        _check_accelerator(partition, place, findings)
    if len(findings.problems) > before:
        return {}
    return {"partition": partition.model_dump(by_alias=True, exclude_none=True)}


def _check_mig(partition: PartitionSpec, place: Place, findings: Findings) -> None:
    if partition.count is not None:
        findings.refuse(
            place.at("count"),
            found=shown(partition.count),
            allowed="nothing: count is for mode accelerator; a replica gets one slice",
            do="remove it, or write mode: accelerator",
        )
    if partition.profile not in MIG_PROFILES:
        likely = nearest(partition.profile or "", MIG_PROFILES)
        findings.refuse(
            place.at("profile"),
            found=shown(partition.profile or None),
            allowed=f"a MIG profile: {', '.join(MIG_PROFILES)}",
            do=f"did you mean {' or '.join(likely)}?"
            if likely
            else "write one of them, as nvidia-smi mig -lgip lists them",
        )


def _check_accelerator(partition: PartitionSpec, place: Place, findings: Findings) -> None:
    if partition.profile:
        findings.refuse(
            place.at("profile"),
            found=shown(partition.profile),
            allowed="nothing: profile is for mode mig",
            do="remove it, or write mode: mig",
        )
    if partition.count is None:
        findings.refuse(
            place.at("count"),
            found="nothing",
            allowed="GPUs of a node that may be used, at least 1; required with mode accelerator",
            do="add count: 1",
        )
