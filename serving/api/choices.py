"""Several choices of one answer, generated side by side."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from serving.api.merge import merge
from serving.engines.protocol import FinishReason
from serving.text.answer_text import TextToken
from serving.text.generator import TextChunk, TextGenerator, TextRequest


def choices_of(request: TextRequest, n: int | None) -> list[TextRequest]:
    """The request `n` times, once for None.

    With a seed the choices have one each that follows from it, so that they differ from each other and not from time
    to time; the first has the request's own. A prompt counts once, however many choices it has.
    """
    return [request, *(_further(request, choice) for choice in range(1, n or 1))]


def _further(request: TextRequest, choice: int) -> TextRequest:
    sampling = request.sampling
    if sampling.seed is not None:
        # Seeds are 64-bit integers with a sign; the one after the largest is the smallest.
        sampling = replace(sampling, seed=(sampling.seed + choice + 2**63) % 2**64 - 2**63)
    return replace(request, sampling=sampling, prompt_is_paid=True)


async def generate(generator: TextGenerator, requests: Sequence[TextRequest]) -> AsyncGenerator[tuple[int, TextChunk]]:
    """Chunks of all requests as they come, each with the index of its request."""
    streams = [generator.generate(request) for request in requests]
    if len(streams) > 1:
        async with aclosing(merge(streams)) as chunks:
            async for index, chunk in chunks:
                yield index, chunk
        return
    async with aclosing(streams[0]) as only:  # without a task for each of its chunks
        async for chunk in only:
            yield 0, chunk


@dataclass
class Choice:
    """One choice, as far as it has come."""

    text: str = ""
    completion_tokens: int = 0
    cached_tokens: int = 0
    """Of the prompt, those that were not computed."""
    finish_reason: FinishReason = "stop"
    tokens: list[TextToken] = field(default_factory=list)
    """Those of the text, if the request asked for log probabilities."""

    def add(self, chunk: TextChunk) -> None:
        self.text += chunk.text
        self.completion_tokens = chunk.completion_tokens
        self.cached_tokens = chunk.reused_prompt_tokens
        self.finish_reason = chunk.finish_reason or self.finish_reason
        self.tokens += chunk.tokens


async def collect(generator: TextGenerator, requests: Sequence[TextRequest]) -> list[Choice]:
    """The whole choice of each request."""
    choices = [Choice() for _ in requests]
    async with aclosing(generate(generator, requests)) as chunks:
        async for index, chunk in chunks:
            choices[index].add(chunk)
    return choices
