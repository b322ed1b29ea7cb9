"""Clients that stream from an endpoint in the background, and remember everything that went wrong."""

from __future__ import annotations

import threading
from types import TracebackType

import openai

from tests.stack.yard import Yard
from tests.waiting import eventually

TOKENS = 48


class Streams:
    """`clients` threads, each streaming one completion after the other until the block ends."""

    def __init__(self, yard: Yard, name: str, clients: int = 8) -> None:
        self._yard, self._name = yard, name
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._stream, daemon=True) for _ in range(clients)]
        self.failures: list[str] = []
        self.completed = 0

    def __enter__(self) -> Streams:
        for thread in self._threads:
            thread.start()
        return self

    def await_ends(self, streams: int) -> None:
        """Return when so many streams have ended, well or not; by then all clients stream."""
        eventually(lambda: self.completed + len(self.failures) >= streams, 120, f"{streams} streams end")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=120)

    def _stream(self) -> None:
        client = self._yard.client(self._name)
        while not self._stop.is_set():
            problem = self._one(client)
            with self._lock:
                if problem:
                    self.failures.append(problem)
                else:
                    self.completed += 1

    def _one(self, client: openai.OpenAI) -> str:
        finish, usage = None, None
        try:
            chunks = client.chat.completions.create(
                model=self._name,
                messages=[{"role": "user", "content": "Count from one to one hundred."}],
                max_tokens=TOKENS,
                temperature=0,
                stream=True,
                stream_options={"include_usage": True},
            )
            for chunk in chunks:
                finish = chunk.choices[0].finish_reason or finish if chunk.choices else finish
                usage = chunk.usage or usage
        except openai.OpenAIError as error:
            return f"{type(error).__name__}: {error}"
        if finish not in ("stop", "length") or usage is None:
            return f"truncated: finish_reason {finish}, usage {usage}"
        return ""
