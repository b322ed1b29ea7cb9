"""Asks the model itself, as the last proof that the service answers."""

from __future__ import annotations

import asyncio

from serving.api.choices import collect
from serving.api.generation import Generation
from serving.api.smoke.protocol import SmokeAnswer
from serving.api.usage import Usage
from serving.engines.protocol import Sampling
from serving.text.generator import TextRequest

PROMPT = "The capital of France is"
_TOKENS = 4


class Smoke:
    """Always the same prompt, once at a time: anybody may ask, without a key."""

    def __init__(self, generation: Generation) -> None:
        self._generation = generation
        self._asking: asyncio.Task[SmokeAnswer] | None = None
        self._callers = 0

    async def ask(self) -> SmokeAnswer:
        """What the model says; who asks while another is being answered gets that answer, and its error.

        Raises what `TextGenerator.generate` raises.
        """
        if self._asking is None or self._asking.done():
            self._asking, self._callers = asyncio.create_task(self._ask()), 0
        asking = self._asking
        self._callers += 1
        try:
            return await asyncio.shield(asking)
        finally:
            if asking is self._asking:
                self._leave(asking)

    def _leave(self, asking: asyncio.Task[SmokeAnswer]) -> None:
        self._callers -= 1
        if not self._callers:
            asking.cancel()
            self._asking = None

    async def _ask(self) -> SmokeAnswer:
        generation = self._generation
        prompt = tuple(await generation.tokenizer.encode(PROMPT))
        request = TextRequest(
            model=generation.models.default.id,
            prompt_token_ids=prompt,
            max_tokens=generation.completion_limit(len(prompt), None, prompt="prompt", default=_TOKENS),
            sampling=Sampling(temperature=0),
            stop_token_ids=frozenset(),
        )
        [answer] = await collect(generation.generator, [request])
        return SmokeAnswer(model=request.model, text=answer.text, usage=Usage.of(len(prompt), answer.completion_tokens))
