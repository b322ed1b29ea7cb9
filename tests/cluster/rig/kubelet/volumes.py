"""A pod's volumes: folders of this machine, filled as a kubelet fills them, and where containers see them."""

from __future__ import annotations

import json
import os
import posixpath
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from tests.cluster.rig.api import Json
from tests.cluster.rig.kubelet.box import Mount
from tests.cluster.rig.kubelet.environment import expand
from tests.cluster.rig.kubelet.files import File, write_all
from tests.cluster.rig.kubelet.references import TOKEN_SECONDS, NotThere, References
from tests.cluster.rig.kubelet.settings import Settings

DEFAULT_MODE = 0o644
_READ_ONLY = ("configMap", "secret", "projected", "downwardAPI", "image")
_REFRESHED = ("configMap", "secret", "projected", "downwardAPI")
"""What follows a change of its source while the pod runs."""


class Volumes:
    """Of one pod. A kind that is not played is refused, not passed over."""

    def __init__(self, settings: Settings, references: References, folder: Path) -> None:
        self._settings, self._references = settings, references
        self._folder = folder
        spec = references.pod["spec"]
        self._uid: str = references.pod["metadata"]["uid"]
        self._volumes: dict[str, Json] = {volume["name"]: volume for volume in spec.get("volumes", [])}
        self._group: int | None = spec.get("securityContext", {}).get("fsGroup")
        self._folders: dict[str, Path] = {}
        self._tokens: dict[tuple[str, str], bytes] = {}

    def prepare(self, status: Json) -> None:
        """Make all volumes ready. Raises NotThere as long as something is missing; call it again then."""
        for name, volume in self._volumes.items():
            if name not in self._folders:
                kind = _kind(volume)
                make = self._makers().get(kind)
                if make is None:
                    raise NotThere(f'volume "{name}" is of the kind {kind}, which the rig does not play')
                try:
                    self._folders[name] = make(name, volume[kind] or {}, status)
                except NotThere as error:
                    raise NotThere(f'MountVolume.SetUp failed for volume "{name}" : {error}') from error

    def refresh(self, status: Json) -> None:
        """Let files follow their config maps and secrets; what has gone meanwhile stays as it was."""
        for name, volume in self._volumes.items():
            kind = _kind(volume)
            if kind in _REFRESHED and name in self._folders:
                try:
                    self._makers()[kind](name, volume[kind] or {}, status)
                except NotThere:
                    continue

    def mounts(self, container: Json, env: Mapping[str, str]) -> list[Mount]:
        """What a container sees of them, outer folders first. Raises NotThere for a subPath that leads out."""
        found = [self._mount(mount, env) for mount in container.get("volumeMounts", [])]
        return sorted(found, key=lambda mount: mount.target.count("/"))

    def images(self, container: Json) -> list[str]:
        """References of the images that a container mounts; it starts when its node has pulled them."""
        sources = [self._volumes[mount["name"]].get("image") for mount in container.get("volumeMounts", [])]
        return [source["reference"] for source in sources if source]

    def remove(self) -> None:
        """What lives no longer than the pod."""
        shutil.rmtree(self._folder, ignore_errors=True)
        shutil.rmtree(self._settings.memory / self._uid, ignore_errors=True)

    def _mount(self, mount: Json, env: Mapping[str, str]) -> Mount:
        name = mount["name"]
        source = self._folders[name]
        sub = mount.get("subPath") or expand(mount.get("subPathExpr", ""), env)
        if sub:
            if sub.startswith("/") or ".." in sub.split("/"):
                raise NotThere(f'subPath "{sub}" of volume "{name}" leads out of it')
            source = source / sub
            if not source.exists():
                self._make_folder(source)
        kind = _kind(self._volumes[name])
        claim_read_only = self._volumes[name].get("persistentVolumeClaim", {}).get("readOnly", False)
        read_only = mount.get("readOnly", False) or kind in _READ_ONLY or claim_read_only
        target = posixpath.normpath(mount["mountPath"])
        return Mount(source=os.path.realpath(source), target=target, read_only=read_only)

    def _makers(self) -> dict[str, Callable[[str, Json, Json], Path]]:
        return {
            "emptyDir": self._empty_dir,
            "configMap": self._config_map,
            "secret": self._secret,
            "projected": self._projected,
            "downwardAPI": self._downward,
            "hostPath": self._host_path,
            "persistentVolumeClaim": self._claim,
            "image": self._image,
        }

    def _empty_dir(self, name: str, source: Json, _status: Json) -> Path:
        base = self._settings.memory / self._uid if source.get("medium") == "Memory" else self._folder
        folder = base / name
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o777)
        self._own(folder)
        return folder

    def _config_map(self, name: str, source: Json, _status: Json) -> Path:
        return self._show(name, self._config_map_files(source, source.get("defaultMode", DEFAULT_MODE)))

    def _secret(self, name: str, source: Json, _status: Json) -> Path:
        named = {**source, "name": source["secretName"]}
        return self._show(name, self._secret_files(named, source.get("defaultMode", DEFAULT_MODE)))

    def _downward(self, name: str, source: Json, status: Json) -> Path:
        return self._show(name, self._downward_files(source, source.get("defaultMode", DEFAULT_MODE), status))

    def _projected(self, name: str, source: Json, status: Json) -> Path:
        mode = source.get("defaultMode", DEFAULT_MODE)
        files: dict[str, File] = {}
        for each in source.get("sources", []):
            if "configMap" in each:
                files |= self._config_map_files(each["configMap"], mode)
            elif "secret" in each:
                files |= self._secret_files(each["secret"], mode)
            elif "downwardAPI" in each:
                files |= self._downward_files(each["downwardAPI"], mode, status)
            elif "serviceAccountToken" in each:
                files |= self._token_file(name, each["serviceAccountToken"], mode)
            else:
                raise NotThere(f"a projection of {', '.join(each)}, which the rig does not play")
        return self._show(name, files)

    def _host_path(self, _name: str, source: Json, _status: Json) -> Path:
        path, kind = Path(source["path"]), source.get("type", "")
        if kind == "DirectoryOrCreate":
            path.mkdir(parents=True, exist_ok=True)
        elif kind == "FileOrCreate" and not path.exists():
            path.touch()
        wanted = {"Directory": path.is_dir, "File": path.is_file}.get(kind, path.exists)
        if not wanted():
            raise NotThere(f"hostPath type check failed: {path} is not a {kind.lower() or 'file or directory'}")
        return path

    def _claim(self, _name: str, source: Json, _status: Json) -> Path:
        claim = self._references.claim(source["claimName"])
        if claim.get("status", {}).get("phase") != "Bound":
            raise NotThere(f'persistentvolumeclaim "{source["claimName"]}" is not bound')
        folder = self._settings.claims / claim["spec"]["volumeName"]
        folder.mkdir(parents=True, exist_ok=True)
        self._own(folder)
        return folder

    def _image(self, name: str, source: Json, _status: Json) -> Path:
        reference = source.get("reference", "")
        known = self._settings.image_folders
        folders = json.loads(known.read_text(encoding="utf-8")) if known.exists() else {}
        if reference in folders:
            return Path(folders[reference])
        folder = self._folder / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _config_map_files(self, source: Json, mode: int) -> dict[str, File]:
        optional = source.get("optional", False)
        data = self._references.config_map(source["name"], optional=optional)
        return _chosen(data, source.get("items"), mode, optional)

    def _secret_files(self, source: Json, mode: int) -> dict[str, File]:
        optional = source.get("optional", False)
        data = self._references.secret(source["name"], optional=optional)
        return _chosen(data, source.get("items"), mode, optional)

    def _downward_files(self, source: Json, mode: int, status: Json) -> dict[str, File]:
        files: dict[str, File] = {}
        for item in source.get("items", []):
            if "fieldRef" in item:
                text = self._references.field(item["fieldRef"]["fieldPath"], status)
            else:
                text = self._references.resource(item["resourceFieldRef"], "")
            files[item["path"]] = File(text.encode(), item.get("mode", mode))
        return files

    def _token_file(self, name: str, source: Json, mode: int) -> dict[str, File]:
        key = (name, source["path"])
        if key not in self._tokens:
            seconds = source.get("expirationSeconds", TOKEN_SECONDS)
            self._tokens[key] = self._references.token(source.get("audience"), seconds)
        return {source["path"]: File(self._tokens[key], mode)}

    def _show(self, name: str, files: Mapping[str, File]) -> Path:
        folder = self._folder / name
        folder.mkdir(parents=True, exist_ok=True)
        write_all(folder, files, self._group)
        return folder

    def _make_folder(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._own(folder)

    def _own(self, folder: Path) -> None:
        """Let the pod's fsGroup write, now and in what is made there later."""
        if self._group is not None:
            os.chown(folder, -1, self._group)
            folder.chmod(folder.stat().st_mode | 0o2770)


def _kind(volume: Json) -> str:
    return next((key for key in volume if key != "name"), "emptyDir")


def _chosen(data: Mapping[str, bytes], items: Iterable[Json] | None, mode: int, optional: bool) -> dict[str, File]:
    """All keys, or those that `items` names, at the paths that they name."""
    if items is None:
        return {key: File(content, mode) for key, content in data.items()}
    files: dict[str, File] = {}
    for item in items:
        if item["key"] in data:
            files[item["path"]] = File(data[item["key"]], item.get("mode") or mode)
        elif not optional:
            raise NotThere(f"references non-existent config key: {item['key']}")
    return files
