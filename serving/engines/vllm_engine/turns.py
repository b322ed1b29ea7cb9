"""Who goes into vLLM next: clients take turns, where vLLM itself takes requests in order of arrival."""

from __future__ import annotations

import asyncio

from serving.engines.protocol import GenerationRequest
from serving.engines.waiting import WaitingRequests


class Turns:
    """At most `places` requests at the same time; the others wait. One event loop, no locks."""

    def __init__(self, places: int) -> None:
        self._free = places
        self._waiting = WaitingRequests()
        self._admitted: dict[str, asyncio.Future[None]] = {}
        """Of the requests that wait, by id."""

    async def enter(self, request: GenerationRequest) -> None:
        """Returns when there is a place, to be given back by `leave`. Cancelled, it takes none."""
        if self._free:
            self._free -= 1
            return
        admitted = self._admitted[request.id] = asyncio.get_running_loop().create_future()
        self._waiting.add(request)
        try:
            await admitted
        except asyncio.CancelledError:
            if self._waiting.remove(request.id):
                del self._admitted[request.id]
            elif not admitted.cancelled():
                self.leave()  # it was let in, and cancelled before it noticed
            raise

    def leave(self) -> None:
        """Give a place back; the request whose turn it is has it."""
        while self._waiting:
            admitted = self._admitted.pop(self._waiting.next().id)
            if not admitted.done():
                admitted.set_result(None)
                return
        self._free += 1

    def refuse_waiting(self, error: Exception) -> None:
        """Fail all that wait."""
        while self._waiting:
            admitted = self._admitted.pop(self._waiting.next().id)
            if not admitted.done():
                admitted.set_exception(error)
