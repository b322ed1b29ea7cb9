"""Gives persistent volume claims of the rig's storage class a folder each, as a provisioner of a cloud gives disks."""

from __future__ import annotations

from tests.cluster.rig.api import Api, ApiError, Json
from tests.cluster.rig.kubelet.settings import STORAGE_CLASS, Settings

PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
PROVISIONER = "modelyard.dev/rig-folders"


class Claims:
    """The controller manager binds the volumes that are made here. Folders stay until the rig goes down."""

    def __init__(self, api: Api, settings: Settings) -> None:
        self._api, self._settings = api, settings

    def sync(self) -> None:
        """Make a volume for each claim that waits for one; take away those whose claim is gone."""
        claims = self._api.items("/api/v1/persistentvolumeclaims")
        waiting = [claim for claim in claims if self._is_ours(claim)]
        volumes = {volume["metadata"]["name"]: volume for volume in self._api.items("/api/v1/persistentvolumes")}
        for claim in waiting:
            if _name(claim) not in volumes:
                self._make(claim)
        for name, volume in volumes.items():
            ours = volume["metadata"].get("annotations", {}).get(PROVISIONED_BY) == PROVISIONER
            if ours and volume["status"].get("phase") == "Released":
                self._api.delete(f"/api/v1/persistentvolumes/{name}")

    def _is_ours(self, claim: Json) -> bool:
        spec = claim["spec"]
        pending = claim["status"].get("phase", "Pending") == "Pending" and not spec.get("volumeName")
        return pending and spec.get("storageClassName") == STORAGE_CLASS

    def _make(self, claim: Json) -> None:
        meta, spec = claim["metadata"], claim["spec"]
        folder = self._settings.claims / _name(claim)
        folder.mkdir(parents=True, exist_ok=True)
        volume = {
            "metadata": {"name": _name(claim), "annotations": {PROVISIONED_BY: PROVISIONER}},
            "spec": {
                "storageClassName": STORAGE_CLASS,
                "capacity": spec["resources"]["requests"],
                "accessModes": spec["accessModes"],
                "persistentVolumeReclaimPolicy": "Delete",
                "hostPath": {"path": str(folder)},
                "claimRef": {
                    "apiVersion": "v1",
                    "kind": "PersistentVolumeClaim",
                    "namespace": meta["namespace"],
                    "name": meta["name"],
                    "uid": meta["uid"],
                },
            },
        }
        try:
            self._api.post("/api/v1/persistentvolumes", volume)
        except ApiError as error:
            if error.status != 409:
                raise


def _name(claim: Json) -> str:
    return f"pvc-{claim['metadata']['uid']}"
