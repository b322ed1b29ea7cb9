"""Who goes into vLLM next: clients take turns, where vLLM itself takes requests in order of arrival."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque


class Turns:
    """At most `places` at the same time; the others wait, and of those each client's first is let in in turn.

    One event loop, no locks.
    """

    def __init__(self, places: int) -> None:
        self._free = places
        self._queues: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    @property
    def waiting(self) -> int:
        return sum(len(queue) for queue in self._queues.values())

    async def enter(self, client: str) -> None:
        """Returns when there is a place, to be given back by `leave`. Cancelled, it takes none."""
        if self._free:
            self._free -= 1
            return
        place = asyncio.get_running_loop().create_future()
        self._queues.setdefault(client, deque()).append(place)
        try:
            await place
        except BaseException:
            if place.done() and not place.cancelled() and place.exception() is None:
                self.leave()  # it was let in and cancelled at once
            else:
                self._forget(client, place)
            raise

    def leave(self) -> None:
        """Give a place back; the next client's first request has it."""
        while self._queues:
            client, queue = self._queues.popitem(last=False)
            place = queue.popleft()
            if queue:
                self._queues[client] = queue
            if not place.done():
                place.set_result(None)
                return
        self._free += 1

    def refuse_waiting(self, error: Exception) -> None:
        """Fail all that wait."""
        for queue in self._queues.values():
            for place in queue:
                if not place.done():
                    place.set_exception(error)
        self._queues.clear()

    def _forget(self, client: str, place: asyncio.Future[None]) -> None:
        queue = self._queues.get(client)
        if queue is None or place not in queue:
            return
        queue.remove(place)
        if not queue:
            del self._queues[client]
