"""The check before the first request: does the engine compute what transformers computes for this very model?

Families differ in ways that no list of names keeps up with. So a few tokens go through transformers' own attention and
through the engine's, cut and mixed as requests will be; a model whose logits differ is refused instead of served.
"""

from __future__ import annotations

import logging
import random

import torch

from serving.engines.protocol import GenerationRequest
from serving.engines.transformers_engine import attention
from serving.engines.transformers_engine.engine import TransformersEngine
from serving.engines.transformers_engine.schedule import PromptBudget, Sequence, plan_step
from serving.errors import StartupFailure

_log = logging.getLogger(__name__)

_PROBE_LENGTHS = (13, 6)
_PROBE_BUDGET = PromptBudget(beside_decoding=3, alone=6)
"""The first prompt takes three steps, and its last token shares one with the second prompt's first chunk."""

_TOLERANCE = {torch.float32: 1e-3, torch.float16: 0.25, torch.bfloat16: 0.25}
"""Difference relative to the logits' own spread. Rounding stays far below, another mask or position goes far above."""


def warm_up(engine: TransformersEngine) -> float:
    """Run the engine's first steps; returns how far they are from transformers (relative). Raises StartupFailure."""
    lengths = [min(length, engine.max_context) for length in _PROBE_LENGTHS][: engine.cache.slots]
    probes = [_probe(slot, length, engine.vocabulary) for slot, length in enumerate(lengths)]
    name = type(engine.model).__name__
    try:
        ours, windows = _by_the_engine(engine, probes)
        theirs = _by_transformers(engine, probes)
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise StartupFailure(
            "OutOfMemory",
            f"the cache of {engine.cache.slots} sequences of {engine.max_context} tokens does not fit into memory "
            f"({error}); lower max_sequences or max_context",
        ) from error
    except Exception as error:
        raise StartupFailure(
            "UnsupportedArchitecture",
            f"{name} failed in the engine's first step: {type(error).__name__}: {error}",
        ) from error
    _refuse_lost_windows(engine, windows)
    ours, theirs = ours - ours.mean(dim=-1, keepdim=True), theirs - theirs.mean(dim=-1, keepdim=True)
    difference = float((ours - theirs).norm() / theirs.norm())
    _log.info("first steps differ from transformers by %.2g of the logits' spread", difference)
    # bitsandbytes' int8 rounds each product by the largest numbers of all rows, so no two cuts of a prompt agree
    loose = getattr(engine.model, "is_loaded_in_8bit", False)
    if not difference <= _TOLERANCE[torch.float16 if loose else engine.model.dtype]:
        raise StartupFailure(
            "UnsupportedArchitecture",
            f"{name} gives other logits in this engine than in transformers (relative difference {difference:.2g}), "
            "so it is not served; choose a model with plain decoder-only attention",
        )
    return difference


def _probe(slot: int, length: int, vocabulary: int) -> Sequence:
    # from the middle of the vocabulary: on the control tokens at its ends bfloat16 alone is far off
    numbers = random.Random(slot)
    tokens = [numbers.randrange(vocabulary // 4, 3 * vocabulary // 4) for _ in range(length)]
    request = GenerationRequest(id=f"probe-{slot}", prompt_token_ids=tuple(tokens), max_tokens=1)
    return Sequence(request, slot, tokens, numbers)


def _by_the_engine(engine: TransformersEngine, probes: list[Sequence]) -> tuple[torch.Tensor, dict[int, int | None]]:
    """The last logits of each probe (probes, vocabulary), float32; and the window that each layer asked for."""
    last: dict[int, torch.Tensor] = {}
    windows: dict[int, int | None] = {}
    while unfinished := [probe for probe in probes if probe.pending]:
        chunks = plan_step(unfinished, _PROBE_BUDGET)
        step = attention.AttentionStep(engine.cache, chunks)
        logits = iter(engine.forward(step))
        for chunk in chunks:
            if chunk.ends_sequence:
                last[chunk.sequence.slot] = next(logits)
            chunk.sequence.cached += chunk.size
        windows = step.windows
    return torch.stack([last[probe.slot] for probe in probes]).float(), windows


def _refuse_lost_windows(engine: TransformersEngine, windows: dict[int, int | None]) -> None:
    """The probes are shorter than any window, so they cannot show that a module does not ask for its own."""
    layer_types = getattr(engine.model.config.get_text_config(decoder=True), "layer_types", None) or ()
    lost = [layer for layer, kind in enumerate(layer_types) if kind == "sliding_attention" and not windows.get(layer)]
    if lost:
        raise StartupFailure(
            "UnsupportedArchitecture",
            f"{type(engine.model).__name__} does not tell the engine the sliding window of its layer {lost[0]}, so "
            "long prompts would be answered wrongly; choose another model",
        )


def _by_transformers(engine: TransformersEngine, probes: list[Sequence]) -> torch.Tensor:
    model = engine.model
    model.set_attn_implementation("eager")
    try:
        with torch.inference_mode():
            prompts = [torch.tensor([probe.tokens], device=model.device) for probe in probes]
            return torch.stack([model(input_ids=ids, use_cache=False).logits[0, -1] for ids in prompts]).float()
    finally:
        model.set_attn_implementation(attention.NAME)
