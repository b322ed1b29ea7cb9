"""All of a stack on a Kubernetes cluster."""

from __future__ import annotations

from typing import Any

import pulumi

from components.cluster_objects import cluster_object, cluster_provider
from components.cluster_workspace import KubernetesWorkspace
from components.delivery import delivery
from components.fingerprints import PROJECT
from components.planning.cluster_refusals import not_provisioned
from components.planning.manifests.scope import Scope, default_namespace
from components.planning.manifests.stack import OWNER_KEY, namespace, namespace_owner, stack_manifests
from components.planning.manifests.volumes import is_claim, weights_claims
from components.planning.placed import PlacedWorkspace
from components.planning.plan import Plan
from components.reconciliation.cluster.owner import NamespaceOwner


def build_on_cluster(plan: Plan) -> dict[str, pulumi.Output[dict[str, Any]]]:
    """Declare everything; the status of every workspace by name.

    Everything is applied before anything is waited for. Raises pulumi.RunError in an update of what this version only
    plans; a preview warns of it.
    """
    problems = not_provisioned(plan.placed, plan.kubernetes)
    if problems and not pulumi.runtime.is_dry_run():
        raise pulumi.RunError(f"nothing was made: {'; '.join(problems)}")
    stack = pulumi.get_stack()
    scope = Scope(
        stack=stack,
        namespace=plan.kubernetes.namespace or default_namespace(stack),
        spec=plan.kubernetes,
        delivery=delivery(PROJECT),
        currency=plan.prices.currency,
    )
    cluster = cluster_provider("cluster", plan.kubernetes)
    options = pulumi.ResourceOptions(provider=cluster)
    shared = _namespace(plan, scope, options)
    if any(each.kind == "inference" for each in plan.placed):
        before = tuple(shared)
        shared += [cluster_object(each, options, before, kept=is_claim(each)) for each in stack_manifests(scope)]
    workspaces = {
        each.name: KubernetesWorkspace(
            each,
            scope,
            plan.target,
            beside=each.name in plan.beside,
            shared=shared,
            opts=pulumi.ResourceOptions(providers=[cluster]),
        )
        for each in plan.placed
        if _is_renderable(each)
    }
    applied = [*shared, *(each for workspace in workspaces.values() for each in workspace.objects)]
    return {name: each.reconcile(pulumi.get_project(), applied) for name, each in workspaces.items()}


def _namespace(plan: Plan, scope: Scope, options: pulumi.ResourceOptions) -> list[pulumi.Resource]:
    """The namespace, unless it is there already, and the sign that it is this stack's."""
    login = {"kubeconfig": plan.kubernetes.kubeconfig, "context": plan.kubernetes.context}
    owner = NamespaceOwner("namespace-owner", {"namespace": scope.namespace, **login})
    made: list[pulumi.Resource] = [owner]
    if plan.kubernetes.create_namespace:
        # With a namespace goes all that is in it, the claim that is to be kept among it.
        made.append(cluster_object(namespace(scope), options, tuple(made), kept=bool(weights_claims(scope))))
    sign = namespace_owner(scope)
    sign["data"] = {**sign["data"], OWNER_KEY: owner.owner}
    return [*made, cluster_object(sign, options, tuple(made))]


def _is_renderable(workspace: PlacedWorkspace) -> bool:
    return workspace.kind != "tuning" and (workspace.kind == "template" or workspace.model is not None)
