"""Responses that were made, in the memory of this replica, for as long as there is room."""

from __future__ import annotations

import json
from collections import OrderedDict
from dataclasses import dataclass

from serving.api.responses.conversation import Turns
from serving.api.responses.resource import Response

MAX_RESPONSES = 1000
MAX_BYTES = 64 * 2**20
OwnId = tuple[str, str]
"""Whom a response was made for, and its id: to all others it does not exist."""


@dataclass(frozen=True)
class StoredResponse:
    """A response, and the conversation that it ended, for those who go on from it."""

    response: Response
    turns: Turns

    def size(self) -> int:
        """Bytes that it takes at most. Of a conversation of several responses each counts the whole."""
        return len(self.response.model_dump_json().encode()) + len(json.dumps(self.turns, ensure_ascii=False).encode())


class ResponseStore:
    """The last responses: the oldest make room for new ones. One that is larger than all the room is not kept."""

    def __init__(self, *, max_responses: int = MAX_RESPONSES, max_bytes: int = MAX_BYTES) -> None:
        self._max_responses = max_responses
        self._max_bytes = max_bytes
        self._stored: OrderedDict[OwnId, tuple[StoredResponse, int]] = OrderedDict()
        self._bytes = 0

    def put(self, own_id: OwnId, stored: StoredResponse) -> None:
        if (size := stored.size()) > self._max_bytes:
            return
        self._stored[own_id] = (stored, size)
        self._bytes += size
        while len(self._stored) > self._max_responses or self._bytes > self._max_bytes:
            _, (_, freed) = self._stored.popitem(last=False)
            self._bytes -= freed

    def get(self, own_id: OwnId) -> StoredResponse | None:
        found = self._stored.get(own_id)
        return found and found[0]

    def delete(self, own_id: OwnId) -> bool:
        """Whether there was one."""
        found = self._stored.pop(own_id, None)
        self._bytes -= found[1] if found else 0
        return found is not None
