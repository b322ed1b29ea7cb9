"""Images are names here: a node pulls one that it has not had, which may take a while or fail."""

from __future__ import annotations

import threading
import time

from tests.cluster.rig.kubelet.events import Events
from tests.cluster.rig.kubelet.settings import Settings

MISSING = "does-not-exist"
"""No registry has an image with this in its reference."""

_SIZE = 4_294_967_296


class CannotPull(Exception):
    """A registry's refusal, in a container runtime's words."""

    def __init__(self, reference: str, message: str) -> None:
        super().__init__(message)
        self.reference = reference


class Images:
    """Which node has which image."""

    def __init__(self, settings: Settings) -> None:
        self._seconds = settings.pull_seconds
        self._there: set[tuple[str, str]] = set()
        self._lock = threading.Lock()

    def check(self, reference: str) -> None:
        """Raises CannotPull if no registry has it."""
        if MISSING in reference:
            raise CannotPull(
                reference,
                f'rpc error: code = NotFound desc = failed to pull and unpack image "{reference}": '
                f'failed to resolve reference "{reference}": {reference}: not found',
            )

    def has(self, node: str, reference: str) -> bool:
        """Whether a node has pulled it."""
        with self._lock:
            return (node, reference) in self._there

    def add(self, node: str, reference: str) -> None:
        """A node has pulled it."""
        with self._lock:
            self._there.add((node, reference))

    @property
    def seconds(self) -> float:
        return self._seconds


class Pull:
    """One container's wait for its image."""

    def __init__(self, images: Images, events: Events, node: str, container: str, reference: str, policy: str) -> None:
        self._images, self._events = images, events
        self._node, self._container, self._reference = node, container, reference
        self._always = policy == "Always"
        self._began: float | None = None
        self._done = False

    def step(self) -> bool:
        """Whether the image is there; call it again until it is. Raises CannotPull."""
        if self._done:
            return True
        if self._began is None:
            if self._images.has(self._node, self._reference) and not self._always:
                self._say("Pulled", f'Container image "{self._reference}" already present on machine')
                self._done = True
                return True
            self._say("Pulling", f'Pulling image "{self._reference}"')
            self._began = time.monotonic()
            self._images.check(self._reference)
        taken = time.monotonic() - self._began
        if taken < self._images.seconds and not self._images.has(self._node, self._reference):
            return False
        self._images.add(self._node, self._reference)
        seconds = f"{taken:.3f}s ({taken:.3f}s including waiting)"
        self._say("Pulled", f'Successfully pulled image "{self._reference}" in {seconds}. Image size: {_SIZE} bytes.')
        self._done = True
        return True

    def _say(self, reason: str, message: str) -> None:
        self._events.normal(reason, message, self._container)
