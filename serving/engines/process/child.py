"""One engine process, seen from the replica: start it, write to it, read from it, see it end."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from serving.engines.process.messages import Command, Event, LaunchOptions, Ping, encode, read_event
from serving.engines.process.silence import Silence, Verdict

_SOURCE_ROOT = Path(__file__).resolve().parents[3]
"""The folder that holds the `serving` and `presets` packages."""

_EXIT_SECONDS = 5.0

_TRACE_SECONDS = 1.0
"""In which a process that hangs can write into its log where it is."""

_starter = ThreadPoolExecutor(1, "engine-starter")
"""The thread that starts processes, which ends when this process does and not before: the kernel kills an engine when
the thread that has started it ends, and an event loop may run in a thread that ends sooner."""

_SPINS = "5000"
"""How often an OpenMP thread looks for work before it sleeps.

The default of 300,000 holds a core for milliseconds. Where the replica, Ray or anybody else needs that core, the thread
that the others wait for is not running: on two busy cores a step of 8 sequences took 460 ms, and 79 ms with 2,000. But
2,000 are too few for a recorded step, whose products follow each other within microseconds: on two idle cores a step of
one sequence took 18 ms with 2,000 and 14 ms with this.
"""


class Child:
    """A running engine process and the socket to it."""

    def __init__(
        self, process: subprocess.Popen[bytes], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self._heard = 0
        """Events that have come."""
        self._watcher: asyncio.Task[None] | None = None
        self._killed_because = ""

    @classmethod
    async def spawn(cls, options: LaunchOptions) -> Child:
        """Start a process that loads the model; its first event says how that went. Raises OSError."""
        ours, theirs = socket.socketpair()
        with theirs:
            # waited for here, since it takes no longer than in this thread
            process = _starter.submit(_start, options, theirs.fileno()).result()
        reader, writer = await asyncio.open_connection(sock=ours)
        return cls(process, reader, writer)

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, command: Command) -> None:
        """Never waits. What is sent to a process that has just died is lost; its end is reported by `receive`."""
        if not self._writer.is_closing():
            self._writer.write(encode(command))

    async def receive(self) -> Event | None:
        """The next event; None when the process has ended or is about to."""
        event = await read_event(self._reader)
        self._heard += 1
        return event

    def watch(self, limit_seconds: float, is_busy: Callable[[], bool], when_hung: Callable[[str], None]) -> None:
        """From now on kill the process if it says nothing for `limit_seconds` while it is busy.

        when_hung: told before that, in a few words, what the process did; `end` says the same.
        """
        self._watcher = asyncio.create_task(self._watch(limit_seconds, is_busy, when_hung), name="engine-watcher")

    async def end(self) -> str:
        """Make sure that the process is gone, and say in a few words how it ended.

        Closing the socket is the request to exit; a process that does not is killed.
        """
        if self._watcher is not None:
            self._watcher.cancel()
        self._writer.close()
        loop = asyncio.get_running_loop()
        try:
            code = await loop.run_in_executor(None, self._process.wait, _EXIT_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = await loop.run_in_executor(None, self._process.wait)
        return self._killed_because or describe_exit(code)

    def kill(self) -> None:
        """For when there is no time to wait."""
        self._process.kill()

    async def _watch(self, limit_seconds: float, is_busy: Callable[[], bool], when_hung: Callable[[str], None]) -> None:
        silence = Silence(limit_seconds)
        while True:
            await asyncio.sleep(silence.tick_seconds)
            match silence.tick(heard=self._heard, busy=is_busy()):
                case Verdict.ASK:
                    self.send(Ping())
                case Verdict.HANGS:
                    break
                case Verdict.FINE:
                    pass
        self._killed_because = f"has said nothing for {limit_seconds:.0f} s while it had work, and was killed"
        when_hung(self._killed_because)
        self._process.send_signal(signal.SIGUSR1)
        await asyncio.sleep(_TRACE_SECONDS)
        self._process.kill()


def describe_exit(code: int) -> str:
    """How a process ended; `code` as in subprocess, minus the signal's number if it was a signal.

    >>> describe_exit(1)
    'exited with code 1'
    """
    if code >= 0:
        return f"exited with code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    hint = " (by a person, or by the kernel for want of memory)" if -code == signal.SIGKILL else ""
    return f"was ended by {name}{hint}"


def _start(options: LaunchOptions, their_socket: int) -> subprocess.Popen[bytes]:
    arguments = [options.model_dump_json(), str(their_socket), str(os.getpid())]
    return subprocess.Popen(
        # the module's name stands on the command line for whoever looks for the process
        [sys.executable, "-m", "serving.engines.process", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,  # what the engine has to say is in its log, on stderr
        pass_fds=(their_socket,),
        env=_environment(options),
    )


def _environment(options: LaunchOptions) -> dict[str, str]:
    environment = dict(os.environ)
    inherited = environment.get("PYTHONPATH")
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(_SOURCE_ROOT), inherited)))
    environment["HF_HUB_OFFLINE"] = "1"
    if options.engine.threads is None:
        # Ray sets it to the actor's CPUs, which is 1 for most; torch's own choice is the cores it may use
        environment.pop("OMP_NUM_THREADS", None)
    if "OMP_WAIT_POLICY" not in environment:
        environment.setdefault("GOMP_SPINCOUNT", _SPINS)
    return environment
