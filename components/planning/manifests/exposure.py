"""Host names outside of the cluster: an HTTPRoute on a Gateway, or an Ingress, for each workspace."""

from __future__ import annotations

from typing import Any

from components.planning.cluster_config import ExposeSpec, GatewaySpec, IngressSpec
from components.planning.manifests.scope import Manifest, Scope, metadata

SERVICE_PORT = 80
"""Of the Service that is named as the workspace."""


def exposure(workspace: str, scope: Scope) -> list[Manifest]:
    """Nothing where the config exposes nothing."""
    expose = scope.spec.expose
    if expose is None:
        return []
    host = host_of(workspace, expose)
    if expose.gateway is not None:
        return [_route(workspace, host, expose.gateway, scope)]
    return [_ingress(workspace, host, expose.ingress or IngressSpec(), scope)]


def host_of(workspace: str, expose: ExposeSpec) -> str:
    return f"{workspace}.{expose.domain}"


def outside_url(workspace: str, scope: Scope) -> str:
    """The OpenAI base URL outside of the cluster; "" where the config exposes nothing."""
    expose = scope.spec.expose
    if expose is None:
        return ""
    plain = expose.ingress is not None and expose.ingress.tls_secret is None
    return f"{'http' if plain else 'https'}://{host_of(workspace, expose)}/v1"


def inside_url(workspace: str, scope: Scope) -> str:
    """The OpenAI base URL for pods of the cluster."""
    return f"http://{workspace}.{scope.namespace}.svc.cluster.local/v1"


def _route(workspace: str, host: str, gateway: GatewaySpec, scope: Scope) -> Manifest:
    """TLS is the Gateway's own: its listener has the certificate."""
    parent: dict[str, Any] = {"name": gateway.name, "namespace": gateway.namespace or scope.namespace}
    if gateway.section:
        parent["sectionName"] = gateway.section
    # Tokens are streamed for as long as they come.
    rule = {"backendRefs": [{"name": workspace, "port": SERVICE_PORT}], "timeouts": {"request": "0s"}}
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": metadata(scope, workspace, workspace),
        "spec": {"parentRefs": [parent], "hostnames": [host], "rules": [rule]},
    }


def _ingress(workspace: str, host: str, ingress: IngressSpec, scope: Scope) -> Manifest:
    backend = {"service": {"name": workspace, "port": {"number": SERVICE_PORT}}}
    spec: dict[str, Any] = {
        "rules": [{"host": host, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}]
    }
    if ingress.class_name:
        spec["ingressClassName"] = ingress.class_name
    if ingress.tls_secret:
        spec["tls"] = [{"hosts": [host], "secretName": ingress.tls_secret}]
    annotations = {"annotations": dict(sorted(ingress.annotations.items()))} if ingress.annotations else {}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": metadata(scope, workspace, workspace, **annotations),
        "spec": spec,
    }
