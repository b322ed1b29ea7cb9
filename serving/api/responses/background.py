"""Answers that are made after the end of the request that asked for them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

from serving.api.responses.draft import Draft


class Background:
    """The answers that are being made. The engine bounds how many: it turns away what would wait too long."""

    def __init__(self) -> None:
        self._running: dict[str, tuple[Draft, asyncio.Task[None]]] = {}

    def start(self, draft: Draft, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._running[draft.id] = (draft, task)
        task.add_done_callback(lambda _: self._running.pop(draft.id, None))

    def draft(self, response_id: str) -> Draft | None:
        """The answer, if it is being made."""
        running = self._running.get(response_id)
        return running and running[0]

    async def cancel(self, response_id: str) -> Draft | None:
        """End the work on an answer; its draft, unless it was not being made or ended by itself."""
        running = self._running.get(response_id)
        if running is None:
            return None
        draft, task = running
        task.cancel()
        await asyncio.wait([task])
        return draft if task.cancelled() else None
