"""The text of tokens."""

from __future__ import annotations

import asyncio

from serving.api.detokenize.protocol import Detokenized, DetokenizeRequest
from serving.api.generation import Generation


class Detokenize:
    """Shows what tokens say."""

    def __init__(self, generation: Generation) -> None:
        self._generation = generation

    async def create(self, request: DetokenizeRequest) -> Detokenized:
        generation = self._generation
        if request.model is not None:
            generation.models.resolve(request.model)
        generation.check_tokens(request.tokens, param="tokens")
        # In a thread: a body may hold a million tokens, and streams would wait for them.
        text = await asyncio.to_thread(generation.tokenizer.decode, request.tokens, special_tokens=True)
        return Detokenized(prompt=text)
