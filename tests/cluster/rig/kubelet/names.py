"""Names of services and pods: there is no name server, so every pod has a hosts file that says them all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tests.cluster.rig.api import Json

DOMAIN = "cluster.local"


class Names:
    """The names of one moment."""

    def __init__(self, services: Sequence[Json], slices: Sequence[Json]) -> None:
        self._lines = sorted(set(_lines(services, slices)))

    def hosts(self, namespace: str = "", own: str = "") -> str:
        """A hosts file as seen from a namespace, where its services have short names too."""
        lines = ["127.0.0.1 localhost", *([own] if own else [])]
        for where, address, names in self._lines:
            short = (names[0].removesuffix(f".{where}"),) if where == namespace else ()
            lines.append(" ".join((address, *_full(names), *short)))
        return "\n".join([*lines, ""])


def _full(names: tuple[str, ...]) -> Iterator[str]:
    for name in names:
        yield from (f"{name}.svc.{DOMAIN}", f"{name}.svc", name)


def _lines(services: Sequence[Json], slices: Sequence[Json]) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Namespace, address and names: of a service, or of the pods behind a headless one."""
    endpoints: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for item in slices:
        meta = item["metadata"]
        key = (meta["namespace"], meta.get("labels", {}).get("kubernetes.io/service-name", ""))
        for endpoint in item.get("endpoints") or []:
            if endpoint.get("conditions", {}).get("ready") is not False:
                found = [(address, endpoint.get("hostname", "")) for address in endpoint["addresses"]]
                endpoints.setdefault(key, []).extend(found)
    for service in services:
        namespace, name = service["metadata"]["namespace"], service["metadata"]["name"]
        address = service["spec"].get("clusterIP", "None")
        if address not in ("None", ""):
            yield namespace, address, (f"{name}.{namespace}",)
            continue
        for pod_address, hostname in endpoints.get((namespace, name), []):
            yield namespace, pod_address, (f"{name}.{namespace}",)
            if hostname:
                yield namespace, pod_address, (f"{hostname}.{name}.{namespace}",)
