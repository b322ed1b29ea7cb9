"""Several streams as one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import TypeVar

T = TypeVar("T")


async def merge(sources: Sequence[AsyncGenerator[T]]) -> AsyncGenerator[tuple[int, T]]:
    """Items of all sources as they come, each with the index of its source.

    No source runs more than one item ahead of the consumer. The first failure is raised; then, or when the merged
    stream is closed, all sources are closed.
    """
    pending = {_next(source): index for index, source in enumerate(sources)}
    try:
        while pending:
            done, _ = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                index = pending.pop(task)
                try:
                    item = task.result()
                except StopAsyncIteration:
                    continue
                yield index, item
                pending[_next(sources[index])] = index
    finally:
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        for source in sources:
            await source.aclose()


def _next(source: AsyncGenerator[T]) -> asyncio.Task[T]:
    async def step() -> T:
        return await anext(source)

    return asyncio.create_task(step())
