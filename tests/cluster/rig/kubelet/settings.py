"""What every pod's runner has to know about its rig."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

LABEL = "modelyard.dev/workspace"
"""Pods that have it run as processes; KWOK plays the others."""

OOM_ANNOTATION = "rig.modelyard.dev/oom"
"""On a pod: the name of a container whose next SIGKILL is reported as the kernel's, for want of memory."""

STORAGE_CLASS = "rig"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Of one rig's kubelet."""

    netns: str
    """The rig's network namespace."""
    state: Path
    venv: Path
    """First on the PATH of every container."""
    hidden: tuple[Path, ...]
    """Folders of this machine that no container sees."""
    max_grace: float = 5.0
    """Seconds: no pod is given more time than this to end by itself."""
    back_off: float = 2.0
    """Seconds before the second restart of a container that keeps ending; a real kubelet waits 10."""
    pull_seconds: float = 0.0
    """How long a node that has not had an image pulls it."""

    @property
    def shown(self) -> list[Path]:
        """What containers see all the same: the Python environment, and the interpreter that it was made with."""
        return [self.venv, *(each for each in [_python(self.venv)] if any(map(each.is_relative_to, self.hidden)))]

    @property
    def pods(self) -> Path:
        """Logs and volumes, a folder a pod."""
        return self.state / "pods"

    @property
    def claims(self) -> Path:
        """A folder for each persistent volume."""
        return self.state / "claims"

    @property
    def image_folders(self) -> Path:
        """JSON: which folder an image volume shows, by the image's reference."""
        return self.state / "image-folders.json"

    @property
    def memory(self) -> Path:
        """Volumes that are held in memory."""
        return Path("/dev/shm") / f"modelyard-{self.netns}"


def _python(venv: Path) -> Path:
    lines = (venv / "pyvenv.cfg").read_text(encoding="utf-8").splitlines()
    home = next(line.partition("=")[2].strip() for line in lines if line.partition("=")[0].strip() == "home")
    return Path(home).parent
