"""A container's environment: what its pod asks for, and what a kubelet and an image add."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from tests.cluster.rig.api import Json
from tests.cluster.rig.kubelet.references import NotThere, References
from tests.cluster.rig.network import API_SERVICE

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def environment(container: Json, references: References, base: Mapping[str, str], status: Json) -> dict[str, str]:
    """All variables of a container; `base` is the image's. Raises NotThere if a reference has no object or key."""
    env = dict(base)
    if references.pod["spec"].get("enableServiceLinks", True):
        for service in references.services():
            env.update(_links(service))
    env.update({"KUBERNETES_SERVICE_HOST": API_SERVICE, "KUBERNETES_SERVICE_PORT": "443"})
    for source in container.get("envFrom", []):
        prefix = source.get("prefix", "")
        env.update({f"{prefix}{key}": value.decode(errors="replace") for key, value in _whole(source, references)})
    for item in container.get("env", []):
        value = _value(item, references, status, container["name"], env)
        if value is not None:
            env[item["name"]] = value
    return env


def expand(text: str, env: Mapping[str, str]) -> str:
    """Replace $(NAME) as a kubelet does: unknown names stay, $$ is a dollar sign.

    >>> expand("$(A)/$(B) $$(A)", {"A": "x"})
    'x/$(B) $(A)'
    """
    return re.sub(
        r"\$(\$|\(([A-Za-z_.-][A-Za-z0-9_.-]*)\))",
        lambda found: "$" if found[1] == "$" else env.get(found[2], found[0]),
        text,
    )


def _whole(source: Json, references: References) -> Iterator[tuple[str, bytes]]:
    for kind, read in (("configMapRef", references.config_map), ("secretRef", references.secret)):
        if reference := source.get(kind):
            yield from read(reference["name"], optional=reference.get("optional", False)).items()


def _value(item: Json, references: References, status: Json, container: str, env: Mapping[str, str]) -> str | None:
    """One variable's value, None if it is optional and not there."""
    source = item.get("valueFrom")
    if not source:
        return expand(item.get("value", ""), env)
    if "fieldRef" in source:
        return references.field(source["fieldRef"]["fieldPath"], status)
    if "resourceFieldRef" in source:
        return references.resource(source["resourceFieldRef"], container)
    for kind, what, read in (
        ("secretKeyRef", "Secret", references.secret),
        ("configMapKeyRef", "ConfigMap", references.config_map),
    ):
        if reference := source.get(kind):
            optional = reference.get("optional", False)
            found = read(reference["name"], optional=optional)
            if reference["key"] in found:
                return found[reference["key"]].decode(errors="replace")
            if optional:
                return None
            where = f"{references.pod['metadata']['namespace']}/{reference['name']}"
            raise NotThere(f"couldn't find key {reference['key']} in {what} {where}")
    raise NotThere(f"variable {item['name']} comes from {', '.join(source)}, which the rig does not play")


def _links(service: Json) -> dict[str, str]:
    """The variables by which programs found services before there were names; a service called `x` sets X_PORT."""
    address = service["spec"].get("clusterIP", "None")
    ports = service["spec"].get("ports") or []
    if address in ("None", "") or not ports:
        return {}
    prefix = service["metadata"]["name"].upper().replace("-", "_")
    first = ports[0]
    found = {
        f"{prefix}_SERVICE_HOST": address,
        f"{prefix}_SERVICE_PORT": str(first["port"]),
        f"{prefix}_PORT": f"tcp://{address}:{first['port']}",
    }
    for port in ports:
        protocol = port.get("protocol", "TCP")
        url = f"{protocol.lower()}://{address}:{port['port']}"
        found[f"{prefix}_PORT_{port['port']}_{protocol}"] = url
        if name := port.get("name"):
            found[f"{prefix}_SERVICE_PORT_{name.upper().replace('-', '_')}"] = str(port["port"])
    return found
