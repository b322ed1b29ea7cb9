"""Requests that wait for a slot: callers in turn, each one's in order of arrival. Pure."""

from __future__ import annotations

from collections import OrderedDict

from serving.engines.protocol import GenerationRequest


class WaitingRequests:
    """A queue in which nobody's requests keep those of others waiting: all operations take the same time at any length.

    A client that has had its turn goes to the end of the row. One that comes anew stands there too, so that nobody gets
    ahead by asking again and again.
    """

    def __init__(self) -> None:
        self._queues: OrderedDict[str, OrderedDict[str, GenerationRequest]] = OrderedDict()
        """By client, the next one first; no queue is empty."""
        self._client_of: dict[str, str] = {}
        """By the id of the request."""

    def __len__(self) -> int:
        return len(self._client_of)

    def add(self, request: GenerationRequest) -> None:
        self._queues.setdefault(request.client, OrderedDict())[request.id] = request
        self._client_of[request.id] = request.client

    def peek(self) -> GenerationRequest:
        """The request whose turn it is, which stays; KeyError if none waits."""
        queue = self._queues[next(iter(self._queues), "")]
        return queue[next(iter(queue))]

    def next(self) -> GenerationRequest:
        """Take out the request whose turn it is; KeyError if none waits."""
        client = next(iter(self._queues), "")
        queue = self._queues[client]
        request_id, request = queue.popitem(last=False)
        del self._client_of[request_id]
        if queue:
            self._queues.move_to_end(client)
        else:
            del self._queues[client]
        return request

    def remove(self, request_id: str) -> GenerationRequest | None:
        """Take out a request; None for one that does not wait, which was taken out before."""
        client = self._client_of.pop(request_id, None)
        if client is None:
            return None
        queue = self._queues[client]
        request = queue.pop(request_id)
        if not queue:
            del self._queues[client]
        return request
