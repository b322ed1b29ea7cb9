"""A few tokens through the model beside the engine's requests, with a cache of their own."""

from __future__ import annotations

import random
from collections.abc import Sequence as Items

import torch

from serving.engines.protocol import GenerationRequest
from serving.engines.transformers_engine.attention import AttentionStep
from serving.engines.transformers_engine.kv_cache import KvCache
from serving.engines.transformers_engine.schedule import Chunk, Sequence

PROBE_TOKENS = 5


def probe_step(vocabulary: int, device: torch.device, adapter_slots: Items[int | None]) -> AttentionStep:
    """The same tokens for each of `adapter_slots`, as sequences of one step."""
    cache = KvCache(len(adapter_slots), PROBE_TOKENS, device)
    # from the middle of the vocabulary, since the control tokens at its ends are no text
    numbers = random.Random(0)
    tokens = tuple(numbers.randrange(vocabulary // 4, 3 * vocabulary // 4) for _ in range(PROBE_TOKENS))
    chunks: list[Chunk] = []
    for slot, adapter_slot in enumerate(adapter_slots):
        request = GenerationRequest(id="", prompt_token_ids=tokens, max_tokens=1)
        chunks.append(Chunk(Sequence(request, slot, list(tokens), numbers, adapter_slot=adapter_slot), PROBE_TOKENS))
    return AttentionStep(cache, chunks)
