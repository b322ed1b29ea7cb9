"""The child's ear: commands come in while it loads or computes, and so does the news that its parent is gone."""

from __future__ import annotations

import logging
import os
import queue
import socket
import threading

from serving.engines.process.messages import Command, read_command

_log = logging.getLogger(__name__)


class Inbox:
    """Commands in order of arrival. When the other end closes, the process ends at once, whatever it is doing."""

    def __init__(self, connection: socket.socket) -> None:
        self._commands: queue.SimpleQueue[Command | None] = queue.SimpleQueue()
        """None wakes who waits, and is no command."""
        threading.Thread(target=self._receive, args=(connection,), name="inbox", daemon=True).start()

    def collect(self, *, wait: bool) -> list[Command]:
        """What has come in; with `wait`, at least one command unless somebody calls `wake`."""
        collected = [self._commands.get()] if wait else []
        while not self._commands.empty():
            collected.append(self._commands.get())
        return [command for command in collected if command is not None]

    def wake(self) -> None:
        """End the waiting of `collect`; any thread may call it."""
        self._commands.put(None)

    def _receive(self, connection: socket.socket) -> None:
        stream = connection.makefile("rb")
        while (command := read_command(stream)) is not None:
            self._commands.put(command)
        end_without_parent()


def end_without_parent() -> None:
    """End this process from any of its threads: nobody is left to answer to."""
    _log.info("the replica is gone; the engine ends")
    os._exit(0)
