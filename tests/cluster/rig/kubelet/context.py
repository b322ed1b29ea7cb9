"""What the containers of one pod share."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tests.cluster.rig import network
from tests.cluster.rig.api import Api, Json
from tests.cluster.rig.kubelet.events import Events, now
from tests.cluster.rig.kubelet.images import Images
from tests.cluster.rig.kubelet.references import References
from tests.cluster.rig.kubelet.settings import OOM_ANNOTATION, Settings
from tests.cluster.rig.kubelet.volumes import Volumes


@dataclass(kw_only=True)
class Context:
    """Of one pod."""

    settings: Settings
    api: Api
    images: Images
    pod: Json
    """As the API server had it last."""
    address: str
    references: References = field(init=False)
    events: Events = field(init=False)
    volumes: Volumes = field(init=False)
    start_time: str = field(default_factory=now)

    def __post_init__(self) -> None:
        self.references = References(self.api, self.pod)
        self.events = Events(self.api, self.pod)
        self.volumes = Volumes(self.settings, self.references, self.folder / "volumes")

    def update(self, pod: Json) -> None:
        """The API server has a newer version of the pod."""
        self.pod = self.references.pod = pod

    @property
    def namespace(self) -> str:
        return self.pod["metadata"]["namespace"]

    @property
    def name(self) -> str:
        return self.pod["metadata"]["name"]

    @property
    def hostname(self) -> str:
        return self.pod["spec"].get("hostname") or self.name[:63]

    @property
    def uid(self) -> str:
        return self.pod["metadata"]["uid"]

    @property
    def node(self) -> str:
        return self.pod["spec"]["nodeName"]

    @property
    def path(self) -> str:
        """The pod's in the API."""
        return f"/api/v1/namespaces/{self.namespace}/pods/{self.name}"

    @property
    def folder(self) -> Path:
        """Logs, volumes and process numbers; the logs stay when the pod is gone."""
        return self.settings.pods / f"{self.namespace}_{self.name}_{self.uid[:8]}"

    @property
    def hosts(self) -> Path:
        """The pod's own /etc/hosts."""
        return self.folder / "hosts"

    @property
    def network(self) -> network.PodNetwork:
        return network.PodNetwork(rig=self.settings.netns, uid=self.uid, address=self.address)

    @property
    def grace(self) -> float:
        """Seconds in which a container may end by itself."""
        seconds = self.pod["metadata"].get("deletionGracePeriodSeconds")
        if seconds is None:
            seconds = self.pod["spec"].get("terminationGracePeriodSeconds", 30)
        return min(float(seconds), self.settings.max_grace)

    def addresses(self) -> Json:
        """Where the pod is, for its status and for its downward API."""
        return {
            "podIP": self.address,
            "podIPs": [{"ip": self.address}],
            "hostIP": network.GATEWAY,
            "hostIPs": [{"ip": network.GATEWAY}],
            "startTime": self.start_time,
        }

    def wants_oom(self, container: str) -> bool:
        """Whether a test asks that a container's SIGKILL is reported as the kernel's."""
        pod = self.api.find(self.path) or self.pod
        return pod["metadata"].get("annotations", {}).get(OOM_ANNOTATION) == container
