"""Asks the model itself, as the last proof that the service answers."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from serving.api.choices import Choice, generate
from serving.api.generation import Generation
from serving.api.smoke.protocol import SmokeAnswer
from serving.api.usage import Usage
from serving.engines.protocol import Sampling
from serving.text.generator import TextRequest

PROMPT = "The capital of France is"
TOKENS = 4
MEASURED_TOKENS = 64
"""Enough that the time of a token shows, few enough that nobody has to wait for them."""


@dataclass
class _Asking:
    """A prompt that is being answered, and how many wait for it."""

    task: asyncio.Task[SmokeAnswer]
    callers: int = 0


class Smoke:
    """Always the same prompt, once at a time: anybody may ask, without a key."""

    def __init__(self, generation: Generation) -> None:
        self._generation = generation
        self._asking: dict[int, _Asking] = {}

    async def ask(self, *, measure: bool = False) -> SmokeAnswer:
        """What the model says; who asks while another is being answered gets that answer, and its error.

        measure: as many tokens as it takes to tell the model's speed. Raises what `TextGenerator.generate` raises.
        """
        tokens = MEASURED_TOKENS if measure else TOKENS
        asking = self._asking.get(tokens)
        if asking is None or asking.task.done():
            asking = self._asking[tokens] = _Asking(asyncio.create_task(self._ask(tokens)))
        asking.callers += 1
        try:
            return await asyncio.shield(asking.task)
        finally:
            asking.callers -= 1
            if not asking.callers:
                asking.task.cancel()
                if self._asking.get(tokens) is asking:
                    del self._asking[tokens]

    async def _ask(self, tokens: int) -> SmokeAnswer:
        generation = self._generation
        begun = time.monotonic()
        prompt = tuple(await generation.tokenizer.encode(PROMPT))
        request = TextRequest(
            model=generation.models.default.id,
            prompt_token_ids=prompt,
            max_tokens=generation.completion_limit(len(prompt), None, prompt="prompt", default=tokens),
            sampling=Sampling(temperature=0),
            stop_token_ids=frozenset(),
        )
        answer, first = Choice(), 0.0
        async for _, chunk in generate(generation.generator, [request]):
            first = first or time.monotonic() - begun
            answer.add(chunk)
        return SmokeAnswer(
            model=request.model,
            text=answer.text,
            usage=Usage.of(len(prompt), answer.completion_tokens),
            first_token_seconds=round(first, 4),
            seconds=round(time.monotonic() - begun, 4),
        )
