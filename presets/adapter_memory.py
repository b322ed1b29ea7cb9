"""What an engine keeps of LoRA adapters beside a model: places for as many as it computes at the same time.

Adapters change in place, so that nothing of this is decided anew when one comes or goes; a version that takes another's
place is loaded beside it, which is one adapter more.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from presets.lora import adapter_bytes, projection
from presets.serve_config import ADAPTER_COPIES_BYTES, ADAPTER_RANK_STEP, kernel_rank
from presets.shape import LayerGroup, ModelShape

_SAME_INPUT = (
    frozenset({"q_proj", "k_proj", "v_proj", "kv_a_proj_with_mqa"}),
    frozenset({"gate_proj", "up_proj"}),
)
"""Projections that a layer applies to one input one after another, as far as it has them."""


def vllm_adapters_bytes(shape: ModelShape, targets: Collection[str], ranks: Sequence[int], each: int) -> int:
    """Bytes on a GPU for adapters of these ranks: a place for each, all for the largest. each: bytes of a number.

    Source: vLLM's max_loras and max_lora_rank; create_lora_weights in vllm/lora/layers.
    """
    if not ranks:
        return 0
    return adapter_bytes(shape, targets, kernel_rank(max(ranks)), each, count=len(ranks))


def matrices_bytes(
    shape: ModelShape, targets: Collection[str], ranks: Sequence[int], sequences: int, each: int, *, joined: bool = True
) -> int:
    """Bytes of the matrices that the transformers engine computes with, for adapters of these ranks.

    A place for each adapter and for one version more, but no more than sequences, all for the largest rank. Projections
    over one input are computed as one, with each one's ranks beside the other's and zeros in between; joined: False
    where weights are quantized, which leaves them apart. Source: serving/engines/transformers_engine/lora.py. Raises
    ValueError as presets.lora.projection does.
    """
    if not ranks:
        return 0
    wanted = frozenset(targets)
    rank = -(-max(ranks) // ADAPTER_RANK_STEP) * ADAPTER_RANK_STEP
    numbers = sum(group.count * _numbers(shape, group, wanted, joined=joined) for group in shape.layers)
    return min(sequences, len(ranks) + 1) * rank * numbers * each


def copies_bytes(shape: ModelShape, targets: Collection[str], ranks: Sequence[int], each: int) -> int:
    """Bytes that the transformers engine keeps adapters' weights in, one version more included; never on a GPU."""
    sizes = [adapter_bytes(shape, targets, rank, each) for rank in ranks]
    if not sizes:
        return 0
    return min(sum(sizes) + max(sizes), max(ADAPTER_COPIES_BYTES, max(sizes)))


def _numbers(shape: ModelShape, group: LayerGroup, targets: frozenset[str], *, joined: bool) -> int:
    """Of one place, for each rank, in one layer of `group`."""
    total = 0
    for siblings in _siblings(targets, joined=joined):
        sizes = {name: found for name in siblings if (found := projection(shape, group, name))}
        if changed := targets & sizes.keys():
            features_in = next(iter(sizes.values()))[0]
            total += len(changed) * (features_in + sum(out for _, out in sizes.values()))
    return total


def _siblings(targets: frozenset[str], *, joined: bool) -> list[frozenset[str]]:
    """Projections that adapters on `targets` stand beside, those of one product together."""
    together = [names for names in _SAME_INPUT if joined and names & targets]
    alone = targets.difference(*together)
    return [*together, *(frozenset({name}) for name in sorted(alone))]
