"""Whose a namespace is. Stacks of two people may have the same name, and each would update and destroy the other's.

A dynamic resource draws the stack's number once, when it is made, and looks first whether the namespace has another's.
Pulumi then writes it into a ConfigMap there, before anything else.
"""

from __future__ import annotations

import uuid
from typing import Any

import pulumi
from pulumi.dynamic import ConfigureRequest, CreateResult, DiffResult, Resource, ResourceProvider

from components.planning.manifests.stack import OWNER_KEY, OWNER_NAME
from components.reconciliation.cluster.api import ClusterApi, ClusterError, Forbidden, Login
from components.reconciliation.cluster.partial_json import condition, is_leaving, text
from components.reconciliation.cluster.paths import namespaced, of_cluster
from components.reconciliation.lifeline import end_with_engine
from components.reconciliation.many_calls import widen

Props = dict[str, Any]


class NamespaceTaken(Exception):
    """Ends `pulumi up` before anything is made; `str()` says whose the namespace is and what to do."""


class NamespaceOwnerProvider(ResourceProvider):
    """The claim of one stack on its namespace."""

    serialize_as_secret_always = False

    def configure(self, req: ConfigureRequest) -> None:
        end_with_engine()
        widen()

    def diff(self, _id: str, _olds: Props, _news: Props) -> DiffResult:
        moved = ["namespace"] if _olds.get("namespace") != _news.get("namespace") else []
        login = any(_olds.get(key) != _news.get(key) for key in ("kubeconfig", "context"))
        return DiffResult(changes=bool(moved) or login, replaces=moved)

    def create(self, props: Props) -> CreateResult:
        namespace = props["namespace"]
        try:
            api = ClusterApi(Login(kubeconfig=props.get("kubeconfig") or "", context=props.get("context") or ""))
            ending = _ending(api, namespace)
            found = api.find(namespaced("/api/v1", namespace, "configmaps", OWNER_NAME))
        except ClusterError as problem:
            raise NamespaceTaken(f"nothing was made: {problem.reason}: {problem}") from problem
        if ending:
            raise NamespaceTaken(
                f"nothing was made: namespace {namespace} is being deleted, and what is in it does not go: {ending}. "
                f"See what holds it: kubectl get namespace {namespace} -o yaml; remove the finalizer that nobody "
                "answers, or set modelyard:kubernetes.namespace to another one"
            )
        if found is not None:
            raise NamespaceTaken(
                f"nothing was made: namespace {namespace} belongs to another stack, which has the name "
                f"{text(found, 'data', 'stack') or 'unknown'}, and its state is not this one. Set "
                "modelyard:kubernetes.namespace to a namespace of this stack's own. Where it is this stack, and its "
                f"state was lost, take it over: kubectl --namespace {namespace} delete configmap {OWNER_NAME}"
            )
        owner = uuid.uuid4().hex
        return CreateResult(owner, {**props, OWNER_KEY: owner})


def _ending(api: ClusterApi, name: str) -> str:
    """What keeps a namespace that is being deleted, in the API server's words; "" for one that is not."""
    try:
        found = api.find(of_cluster("/api/v1", "namespaces", name))
    except Forbidden:
        return ""  # a login for the inside of a namespace need not see it from outside
    if found is None or not is_leaving(found):
        return ""
    kinds = ("NamespaceContentRemaining", "NamespaceFinalizersRemaining", "NamespaceDeletionDiscoveryFailure")
    said = [condition(found, kind) for kind in kinds]
    return "; ".join(text(each, "message") for each in said if text(each, "status") == "True") or "it does not say why"


class NamespaceOwner(Resource, module="modelyard", name="NamespaceOwner"):
    """Who the stack is on its cluster."""

    owner: pulumi.Output[str]

    def __init__(self, name: str, inputs: dict[str, Any], opts: pulumi.ResourceOptions | None = None) -> None:
        """`inputs`: namespace, kubeconfig, context."""
        super().__init__(NamespaceOwnerProvider(), name, {**inputs, OWNER_KEY: None}, opts)
