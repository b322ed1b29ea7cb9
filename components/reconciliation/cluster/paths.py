"""Where objects are in the API server: its paths, by kind, namespace and name."""

from __future__ import annotations

RAY = "/apis/ray.io/v1"
KARPENTER = "/apis/karpenter.sh/v1"
MODELYARD = "/apis/modelyard.dev/v1"


def namespaced(api: str, namespace: str, plural: str, name: str = "") -> str:
    """
    >>> namespaced("/api/v1", "ml", "pods", "chat-0")
    '/api/v1/namespaces/ml/pods/chat-0'
    """
    return f"{api}/namespaces/{namespace}/{plural}" + (f"/{name}" if name else "")


def of_cluster(api: str, plural: str, name: str = "") -> str:
    """
    >>> of_cluster("/api/v1", "nodes")
    '/api/v1/nodes'
    """
    return f"{api}/{plural}" + (f"/{name}" if name else "")


def service_proxy(namespace: str, service: str, port: str, path: str) -> str:
    """A service's own HTTP, through the API server.

    >>> service_proxy("ml", "chat", "serve", "/ready")
    '/api/v1/namespaces/ml/services/http:chat:serve/proxy/ready'
    """
    return f"/api/v1/namespaces/{namespace}/services/http:{service}:{port}/proxy{path}"
