"""Asks the model itself, as the last proof that the service answers."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from serving.api.generation import Generation
from serving.api.smoke.protocol import SmokeAnswer
from serving.api.usage import Usage
from serving.engines.protocol import Sampling
from serving.text.generator import TextRequest

PROMPT = "The capital of France is"
_TOKENS = 4


class Smoke:
    """One prompt at a time, and always the same one: anybody may ask, without a key."""

    def __init__(self, generation: Generation) -> None:
        self._generation = generation
        self._one_at_a_time = asyncio.Lock()

    async def ask(self) -> SmokeAnswer:
        """Raises what `TextGenerator.generate` raises."""
        generation = self._generation
        prompt = tuple(await generation.tokenizer.encode(PROMPT))
        request = TextRequest(
            model=generation.models.default.id,
            prompt_token_ids=prompt,
            max_tokens=generation.completion_limit(len(prompt), None, prompt="prompt", default=_TOKENS),
            sampling=Sampling(temperature=0),
            stop_token_ids=frozenset(),
        )
        text, tokens = "", 0
        async with self._one_at_a_time, aclosing(generation.generator.generate(request)) as chunks:
            async for chunk in chunks:
                text += chunk.text
                tokens = chunk.completion_tokens
        return SmokeAnswer(model=request.model, text=text, usage=Usage.of(len(prompt), tokens))
