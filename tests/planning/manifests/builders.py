"""Configs of stacks on a cluster, planned, and the manifests that they become."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from components.planning.manifests.scope import Delivery, Manifest, Scope, default_namespace
from components.planning.manifests.stack import namespace, stack_manifests
from components.planning.manifests.wanted import ReconciliationInputs, reconciliation_inputs
from components.planning.manifests.workspace import workspace_manifests
from components.planning.placed import PlacedWorkspace
from components.planning.plan import Plan
from tests.planning.builders import SERVER, plan_of

A100 = "Standard_NC24ads_A100_v4"
IMAGE = "registry.example.com/serving:1"
DELIVERY = Delivery(digest="c0de", archive="UEsDBA==", ray_version="2.60.0")
EIGHT_A100 = (
    "{labels: {nvidia.com/gpu.product: NVIDIA-A100-SXM4-80GB, nvidia.com/gpu.memory: '81920', nvidia.com/gpu.count: "
    "'8', nvidia.com/gpu.compute.major: '8', nvidia.com/gpu.compute.minor: '0', pool: big}, count: 2}"
)
SLICED_A100 = (
    "{labels: {nvidia.com/gpu.product: NVIDIA-A100-SXM4-80GB, nvidia.com/gpu.memory: '81920', nvidia.com/gpu.count: "
    "'1', nvidia.com/mig-2g.20gb.count: '3', nvidia.com/mig-2g.20gb.memory: '19968'}}"
)


def serving(
    more: str = "",
    *,
    name: str = "chat",
    preset: str = "name: phi-4",
    inference: str = "",
    resource: str = f"instanceType: {A100}",
) -> str:
    """A workspace with a preset. `inference`, `resource` and `more` are fields of these maps, as YAML in braces."""
    served = ", ".join(part for part in (f"preset: {{{preset}}}", inference) if part)
    parts = (f"name: {name}", f"inference: {{{served}}}", f"resource: {{{resource}}}", more)
    return ", ".join(part for part in parts if part)


def template(
    pod: str = "spec: {containers: [{name: web, image: web:1}]}",
    *,
    more: str = "",
    resource: str = f"instanceType: {A100}",
) -> str:
    """A workspace with a pod template of the user's own."""
    parts = ("name: chat", f"inference: {{template: {{{pod}}}}}", f"resource: {{{resource}}}", more)
    return ", ".join(part for part in parts if part)


def stack(*workspaces: str, nodes: str = "karpenter", kubernetes: str = "", more: str = "") -> str:
    """A stack's config on target kubernetes; without workspaces one that serves a preset."""
    spec = ", ".join(part for part in (f"nodes: {nodes}", f"image: {IMAGE}", kubernetes) if part)
    listed = ", ".join(f"{{{each}}}" for each in workspaces or (serving(),))
    return f"target: kubernetes\nkubernetes: {{{spec}}}\nworkspaces: [{listed}]\n{more}"


def existing(*groups: str, workspaces: tuple[str, ...] = (serving(resource=""),), kubernetes: str = "") -> str:
    """A stack on nodes that are there already."""
    described = f"existing: [{', '.join(groups or (EIGHT_A100,))}]"
    parts = ", ".join(part for part in (described, kubernetes) if part)
    return stack(*workspaces, nodes="existing", kubernetes=parts)


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A plan, and the cluster that it is for."""

    plan: Plan
    scope: Scope

    def workspace(self, name: str = "chat") -> PlacedWorkspace:
        return next(each for each in self.plan.placed if each.name == name)

    def nodes(self, name: str = "chat") -> list[Manifest]:
        """What makes a workspace's nodes."""
        return list(workspace_manifests(self.workspace(name), self.scope, beside=True).nodes)

    def service(self, name: str = "chat", *, beside: bool | None = None) -> list[Manifest]:
        """What serves, the main object last. beside: as the plan has it, unless it is given."""
        chosen = name in self.plan.beside if beside is None else beside
        return list(workspace_manifests(self.workspace(name), self.scope, beside=chosen).service)

    def one(self, kind: str, name: str = "chat", *, beside: bool | None = None) -> Manifest:
        """The only object of a kind that a workspace has beside its nodes."""
        (found,) = self.kinds(kind, name, beside=beside)
        return found

    def kinds(self, kind: str, name: str = "chat", *, beside: bool | None = None) -> list[Manifest]:
        return [each for each in self.service(name, beside=beside) if each["kind"] == kind]

    def inputs(self, name: str = "chat") -> ReconciliationInputs:
        """What the reconciliation of a workspace is told."""
        workspace, main = self.workspace(name), self.service(name)[-1]
        return reconciliation_inputs(workspace, self.scope, main, beside=name in self.plan.beside, project="modelyard")

    def everything(self) -> list[Manifest]:
        """All that the stack applies, in order."""
        found = [namespace(self.scope), *stack_manifests(self.scope)]
        for workspace in self.plan.placed:
            found += [*self.nodes(workspace.name), *self.service(workspace.name)]
        return found


def planned(text: str, *, name: str = "dev", delivery: Delivery = DELIVERY) -> Planned:
    """A config through the planner, and its scope as components.cluster_platform makes it. name: the stack's."""
    plan = plan_of(text, SERVER, code_version=delivery.digest)
    namespace = plan.kubernetes.namespace or default_namespace(name)
    currency = plan.prices.currency
    scope = Scope(stack=name, namespace=namespace, spec=plan.kubernetes, delivery=delivery, currency=currency)
    return Planned(plan=plan, scope=scope)


def templates_of(manifest: Manifest) -> Iterator[dict[str, Any]]:
    """The pod templates of an object, wherever its kind has them."""
    spec = manifest.get("spec") or {}
    if manifest["kind"] == "RayService":
        cluster = spec["rayClusterConfig"]
        yield from (group["template"] for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]))
    elif manifest["kind"] in ("Job", "Deployment"):
        yield spec["template"]


def head_of(service: Manifest) -> dict[str, Any]:
    """The head's pod of a RayService."""
    return next(templates_of(service))


def worker_of(service: Manifest) -> dict[str, Any]:
    """The worker's pod of a RayService."""
    _, worker = templates_of(service)
    return worker


def container_of(template: dict[str, Any]) -> dict[str, Any]:
    (found,) = template["spec"]["containers"]
    return found


def environment_of(template: dict[str, Any]) -> dict[str, Any]:
    """Values of a container's variables, or where they come from."""
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in container_of(template)["env"]}


def mounts_of(template: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What a container sees, by path: the volume, and how it is mounted."""
    volumes = {each["name"]: {key: each[key] for key in each if key != "name"} for each in template["spec"]["volumes"]}
    return {
        each["mountPath"]: {**volumes[each["name"]], "readOnly": each.get("readOnly", False)}
        for each in container_of(template)["volumeMounts"]
    }
