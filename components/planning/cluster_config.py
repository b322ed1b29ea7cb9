"""The part of a stack's config that says what the cluster of targets kubernetes and aks is like."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic.alias_generators import to_camel

from components.planning.cluster_fields import DomainName, NamespaceName, Quantity
from components.planning.config_model import ConfigModel
from components.planning.fields import refusal


class ExistingNodes(ConfigModel):
    """Nodes of a cluster that are there already, as NVIDIA's GPU feature discovery labels them."""

    labels: dict[str, str]
    """At least nvidia.com/gpu.product, nvidia.com/gpu.count and nvidia.com/gpu.memory (MiB of one GPU), and the labels
    that workspaces select them by."""
    count: int = Field(default=1, ge=1)
    """Nodes that are alike."""
    price_per_hour: Annotated[float | None, Field(ge=0, le=100_000)] = None
    """What one of them costs."""


class NodeClassRef(ConfigModel):
    """A class of nodes, as the provisioner of the cluster knows it."""

    group: str
    """API group, such as karpenter.azure.com, karpenter.k8s.aws or kaito.sh."""
    kind: str
    """Such as AKSNodeClass, EC2NodeClass or KaitoNodeClass."""
    name: str = "default"
    """resource.nodeClass of a workspace takes its place."""


class WeightsVolumeSpec(ConfigModel):
    """Where weights lie, mounted at /models in every pod of the models: exactly one of claim, size and hostPath. Its
    folder cache keeps what is fetched; file:/models/FOLDER is a model that somebody has put there."""

    claim: str | None = None
    """A PersistentVolumeClaim of the namespace; ReadWriteMany where replicas are on several nodes."""
    size: Quantity | None = None
    """Size of a ReadWriteMany claim that is made, such as 500Gi. The claim, and the namespace that it is in, are kept
    when the stack is destroyed."""
    storage_class: str | None = None
    """Of the claim that is made. Default: the cluster's own."""
    host_path: str | None = None
    """Directory of each node, such as its NVMe disk."""

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        given = [name for name in ("claim", "size", "host_path") if getattr(self, name) is not None]
        if len(given) == 1 and (self.storage_class is None or given == ["size"]):
            return self
        raise refusal(
            found=" and ".join(to_camel(name) for name in given) or "none of them",
            allowed="exactly one of claim, size (with or without storageClass) and hostPath",
            do="keep one: claim for a claim that is there, size for one that is made, hostPath for the nodes' own disk",
        )


class HeadSpec(ConfigModel):
    """Ray's head pod of each workspace, which needs no GPU."""

    cpu: Quantity = "1"
    """Request and limit, as a Kubernetes quantity."""
    memory: Quantity = "4Gi"
    """Request and limit, as a Kubernetes quantity. Ray's own processes take about 1 GiB, and grow with the hours."""


class GatewaySpec(ConfigModel):
    """A Gateway of the cluster that HTTPRoutes are attached to."""

    name: str
    """Of the Gateway."""
    namespace: str | None = None
    """Of the Gateway. Default: the stack's own."""
    section: str | None = None
    """One of its listeners. Default: all that allow it."""


class IngressSpec(ConfigModel):
    """An Ingress for each workspace."""

    class_name: str | None = None
    """Default: the cluster's own."""
    tls_secret: str | None = None
    """Secret with a certificate for the host names. Without it the Ingress has no TLS."""
    annotations: dict[str, str] = {}
    """For the Ingress controller or for cert-manager."""


class ExposeSpec(ConfigModel):
    """Host names outside of the cluster: WORKSPACE.DOMAIN, by exactly one of gateway and ingress."""

    domain: DomainName
    """Such as llm.example.com."""
    gateway: GatewaySpec | None = None
    ingress: IngressSpec | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.gateway is None) != (self.ingress is None):
            return self
        raise refusal(
            found="both gateway and ingress" if self.gateway else "neither gateway nor ingress",
            allowed="exactly one of gateway and ingress",
            do="write gateway: {name: ...} where the cluster has a Gateway, otherwise ingress: {}",
        )


class KubernetesSpec(ConfigModel):
    """The cluster of targets kubernetes and aks."""

    nodes: Literal["existing", "karpenter", "gpu-provisioner"] = "gpu-provisioner"
    """Where GPU nodes come from: existing ones by their labels, or made by Karpenter or by gpu-provisioner."""
    existing: list[ExistingNodes] = []
    """What the existing nodes are, so that a preview knows without asking the cluster."""
    node_class_ref: NodeClassRef | None = None
    """Of nodes that are made. Default: with Karpenter AKSNodeClass, with gpu-provisioner KaitoNodeClass."""
    kubeconfig: str | None = None
    """A file, relative to the stack's. Default: KUBECONFIG, then ~/.kube/config, then the pod's own service account."""
    context: str | None = None
    """One of the kubeconfig's. Default: its current one."""
    namespace: NamespaceName | None = None
    """Of everything of the stack. Default: modelyard-STACK."""
    create_namespace: bool = True
    """Whether the namespace is made, and removed with the stack; false: it is there already."""
    image: str | None = None
    """Image with what serving needs, built from the project's Containerfile; the code comes with the stack. An update
    needs it, a preview does not."""
    image_pull_secrets: list[str] = []
    """Secrets of the namespace with the registry's credentials."""
    head: HeadSpec = HeadSpec()
    weights: WeightsVolumeSpec | None = None
    """Without it every pod fetches what it serves and forgets it when it ends."""
    image_volumes: bool = True
    """Whether the cluster mounts images, so that presetOptions.image is a volume of the pods; false: the image is
    fetched, as weights from oci: are."""
    expose: ExposeSpec | None = None
    """Without it endpoints are reached inside of the cluster, and where loadBalancer is true."""
    network_policy: bool = True
    """Whether NetworkPolicies keep all but the endpoints' port to the workspace's own pods, KubeRay and kube-system."""
    priority_class: str | None = None
    """PriorityClass of the models' pods."""
    environment: dict[str, str] = {}
    """Variables of the models' pods, such as HF_ENDPOINT, UV_INDEX_URL or HTTPS_PROXY. No secrets: they stand in the
    manifests."""
