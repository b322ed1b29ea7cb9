"""What all workspaces of a stack share on a cluster."""

from __future__ import annotations

from components.planning.manifests.scope import Manifest, Scope, labels, metadata
from components.planning.manifests.volumes import weights_claims

OWNER_NAME = "modelyard-stack"
OWNER_KEY = "owner"
"""Of the ConfigMap that says whose the namespace is."""


def stack_manifests(scope: Scope) -> list[Manifest]:
    """The code, and the volume of the weights."""
    code = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(scope, scope.code_name),
        "immutable": True,
        "binaryData": {"code.zip": scope.delivery.archive},
    }
    return [code, *weights_claims(scope)]


def namespace(scope: Scope) -> Manifest:
    """The stack's namespace, which warns of pods that do not pass the restricted Pod Security Standard, such as a
    template of the user's own."""
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": scope.namespace,
            "labels": {**labels(scope), "pod-security.kubernetes.io/warn": "restricted"},
        },
    }


def namespace_owner(scope: Scope) -> Manifest:
    """The ConfigMap that tells another stack of the same name that the namespace is taken; who has it, is to be added
    to its data as OWNER_KEY."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(scope, OWNER_NAME),
        "data": {"stack": scope.stack},
    }
