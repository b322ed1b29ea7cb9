"""Objects of Kubernetes as Pulumi resources, from manifests as plain values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pulumi

from components.planning.cluster_config import KubernetesSpec
from components.planning.manifests.scope import Manifest

PROVIDER_VERSION = "4.25.0"
"""Of Pulumi's Kubernetes provider; the bootstrap gets the same, and a later one serves too."""
_AWAITED = frozenset({"Namespace"})
"""Kinds whose end Pulumi waits for; whether the others are ready, the reconciliation finds out, with reasons."""


def cluster_provider(name: str, spec: KubernetesSpec) -> pulumi.ProviderResource:
    """The cluster that the config names; a preview does without it where it does not answer.

    By its type alone: the class of pulumi_kubernetes would put KUBECONFIG's path into the state, and another person's
    path would look like another cluster.
    """
    named = {"kubeconfig": spec.kubeconfig, "context": spec.context}
    props = {key: value for key, value in named.items() if value is not None}
    # By default another address in a kubeconfig is another cluster, on which everything is replaced. It may as well be
    # the same one, and the delete would then end what was just made; so the provider is told that it is the same.
    settled = {"enableServerSideApply": "true", "clusterIdentifier": name}
    return pulumi.ProviderResource(
        "kubernetes", name, {**props, **settled}, pulumi.ResourceOptions(version=PROVIDER_VERSION)
    )


def cluster_object(
    manifest: Manifest,
    opts: pulumi.ResourceOptions,
    depends_on: Iterable[pulumi.Resource] = (),
    *,
    kept: bool = False,
) -> pulumi.CustomResource:
    """One object, as written. kept: a destroy leaves it, because it holds what took hours to fetch.

    Untyped: typed classes would take a manifest apart and put it together again, and KubeRay's and Karpenter's kinds
    have none. The API server checks every field.
    """
    kind, name = manifest["kind"], manifest["metadata"]["name"]
    # The name of the code's ConfigMap says what is in it; another zlib makes other bytes of the same code.
    ignored = ["binaryData"] if manifest.get("immutable") else []
    own = pulumi.ResourceOptions(
        ignore_changes=ignored,
        depends_on=list(depends_on),
        retain_on_delete=kept,
        custom_timeouts=pulumi.CustomTimeouts(delete="10m"),
    )
    return pulumi.CustomResource(
        type_token(manifest), f"{name}-{kind.lower()}", _annotated(manifest), pulumi.ResourceOptions.merge(opts, own)
    )


def type_token(manifest: Mapping[str, Any]) -> str:
    """As Pulumi's Kubernetes provider calls the kind.

    >>> type_token({"apiVersion": "v1", "kind": "Secret"}), type_token({"apiVersion": "apps/v1", "kind": "Deployment"})
    ('kubernetes:core/v1:Secret', 'kubernetes:apps/v1:Deployment')
    """
    version = manifest["apiVersion"]
    return f"kubernetes:{version if '/' in version else f'core/{version}'}:{manifest['kind']}"


def _annotated(manifest: Manifest) -> Manifest:
    # An edit by hand makes another owner of a field: what the stack says is put back all the same.
    ours = {"pulumi.com/patchForce": "true"}
    if manifest["kind"] not in _AWAITED:
        ours["pulumi.com/skipAwait"] = "true"
    metadata = manifest["metadata"]
    return {**manifest, "metadata": {**metadata, "annotations": {**(metadata.get("annotations") or {}), **ours}}}
