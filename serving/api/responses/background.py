"""Answers that are made after the end of the request that asked for them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

from serving.api.responses.draft import Draft
from serving.api.responses.store import OwnId


class Background:
    """The answers that are being made. The engine bounds how many: it turns away what would wait too long."""

    def __init__(self) -> None:
        self._running: dict[OwnId, tuple[Draft, asyncio.Task[None]]] = {}

    def start(self, own_id: OwnId, draft: Draft, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._running[own_id] = (draft, task)
        task.add_done_callback(lambda _: self._running.pop(own_id, None))

    def draft(self, own_id: OwnId) -> Draft | None:
        """The answer, if it is being made."""
        running = self._running.get(own_id)
        return running and running[0]

    async def cancel(self, own_id: OwnId) -> Draft | None:
        """End the work on an answer; its draft, unless it was not being made or ended by itself."""
        running = self._running.get(own_id)
        if running is None:
            return None
        draft, task = running
        task.cancel()
        await asyncio.wait([task])
        return draft if task.cancelled() else None
