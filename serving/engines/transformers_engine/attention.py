"""The attention function that transformers' modules call, over the engine's own key-value cache.

A step's rows are cut into blocks that attend together. No mask function is registered under our name, so the modules
get no mask and everything that a row may see (its own sequence, the past, a sliding window) is decided here.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from serving.engines.transformers_engine import kernels
from serving.engines.transformers_engine.kv_cache import KvCache
from serving.engines.transformers_engine.schedule import Chunk

NAME = "modelyard"
"""What models are loaded with as `attn_implementation`."""

_SKEW = 2
_SLACK = 64


@dataclass(frozen=True)
class Block:
    """Rows that attend in one call: one row each of neighbouring slots, or many rows of one slot."""

    rows: slice
    first_slot: int
    positions: torch.Tensor
    """(slots, rows of each slot): where in its sequence each row stands."""
    first: int
    """The lowest of `positions`."""
    keys: int
    """Keys that the block's last rows see at most: one more than the highest position."""

    @property
    def slots(self) -> int:
        return self.positions.shape[0]

    @property
    def rows_per_slot(self) -> int:
        return self.positions.shape[1]


def cut_into_blocks(chunks: Sequence[Chunk], device: torch.device) -> list[Block]:
    """Blocks over the rows of `chunks` in their order (`plan_step` puts decoding sequences first, by slot).

    Single rows join while their slots are neighbours and their lengths alike: a block reads as many keys for each of
    its rows as for its longest.
    """
    blocks: list[Block] = []
    singles: list[Chunk] = []
    row = 0

    def close_singles() -> None:
        if singles:
            positions = [chunk.sequence.cached for chunk in singles]
            blocks.append(_block(row - len(singles), singles[0].sequence.slot, [[at] for at in positions], device))
            singles.clear()

    for chunk in chunks:
        if chunk.size > 1 or (singles and not _joins(singles, chunk)):
            close_singles()
        if chunk.size == 1:
            singles.append(chunk)
        else:
            start = chunk.sequence.cached
            blocks.append(_block(row, chunk.sequence.slot, [list(range(start, start + chunk.size))], device))
        row += chunk.size
    close_singles()
    return blocks


def _joins(singles: list[Chunk], chunk: Chunk) -> bool:
    lengths = [single.sequence.cached for single in (*singles, chunk)]
    neighbours = chunk.sequence.slot == singles[-1].sequence.slot + 1
    return neighbours and max(lengths) <= _SKEW * min(lengths) + _SLACK


def _block(row: int, slot: int, positions: list[list[int]], device: torch.device) -> Block:
    rows = len(positions) * len(positions[0])
    first, last = min(at[0] for at in positions), max(at[-1] for at in positions)
    return Block(slice(row, row + rows), slot, torch.tensor(positions, device=device), first, last + 1)


@dataclass(eq=False)
class Cells:
    """Where the rows of a step stand in the cache; all that the kernels need to know."""

    cache: KvCache
    slots: torch.Tensor
    """(rows,)"""
    positions: torch.Tensor
    """(rows,): of each row in its sequence. Rows of one prompt follow each other."""
    windows: dict[int, int | None] = field(default_factory=dict)
    """Layer to the sliding window that its module asked for."""


class AttentionStep(Cells):
    """What the attention function needs in one step; the same for all layers."""

    def __init__(self, cache: KvCache, chunks: Sequence[Chunk]) -> None:
        slots = [chunk.sequence.slot for chunk in chunks for _ in range(chunk.size)]
        positions = [at for chunk in chunks for at in range(chunk.sequence.cached, chunk.sequence.cached + chunk.size)]
        super().__init__(cache, torch.tensor(slots, device=cache.device), torch.tensor(positions, device=cache.device))
        self.chunks = chunks
        self._masks: dict[tuple[int, int | None], tuple[int, torch.Tensor | None]] = {}

    @functools.cached_property
    def blocks(self) -> list[Block]:
        """The rows as they attend together without kernels."""
        return cut_into_blocks(self.chunks, self.cache.device)

    @functools.cached_property
    def cells(self) -> torch.Tensor:
        """(rows,): slot * context + position."""
        return self.slots * self.cache.context + self.positions

    def visible(self, index: int, window: int | None, dtype: torch.dtype) -> tuple[int, torch.Tensor | None]:
        """For block `index`: the first key that any of its rows sees, and the mask over the keys from there on.

        The mask (slots, rows of each slot, keys) is added to the scores; None where every row sees every key.
        """
        if (index, window) not in self._masks:
            block = self.blocks[index]
            start = max(0, block.first - window + 1) if window else 0
            self._masks[index, window] = (start, _mask(block, start, window, dtype))
        return self._masks[index, window]


def _mask(block: Block, start: int, window: int | None, dtype: torch.dtype) -> torch.Tensor | None:
    if block.first + 1 == block.keys:  # all rows stand at one position
        return None
    at, keys = block.positions[:, :, None], torch.arange(start, block.keys, device=block.positions.device)
    seen = keys <= at
    if window:
        seen &= keys > at - window
    return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill_(~seen, float("-inf"))


_current: ContextVar[Cells] = ContextVar("modelyard_attention_step")


@contextmanager
def attending(step: Cells) -> Iterator[None]:
    """Within this, models loaded with our attention read and write the cache as `step` says."""
    token = _current.set(step)
    try:
        yield
    finally:
        _current.reset(token)


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: torch.Tensor | None = None,
    **_ignored: object,
) -> tuple[torch.Tensor, None]:
    """transformers' attention interface: query (1, heads, rows, dim), key and value (1, kv_heads, rows, dim).

    Returns (1, rows, heads, value dim). softcap: tanh bound of the scores; s_aux: attention sinks (heads,).
    """
    step = _current.get()
    layer: int = module.layer_idx  # pyright: ignore[reportAssignmentType]
    step.windows[layer] = sliding_window
    scale = int(query.shape[-1]) ** -0.5 if scaling is None else float(scaling)
    rows, new_keys, new_values = (each[0].transpose(0, 1) for each in (query, key, value))
    if kernels.can_attend(query, value):
        step.cache.tensors(layer, new_keys, new_values)
        output = kernels.operators().attend(
            *(rows, new_keys, new_values, step.cache.number, layer, step.slots, step.positions),
            *(scale, sliding_window or 0, softcap or 0.0, s_aux),
        )
        return output.unsqueeze(0), None
    if not isinstance(step, AttentionStep):
        raise NotImplementedError(f"a head of {query.shape[-1]} numbers needs a step of blocks")
    keys, values = step.cache.write(layer, step.cells, new_keys, new_values)
    outputs: list[torch.Tensor] = []
    for index, block in enumerate(step.blocks):
        start, mask = step.visible(index, sliding_window, query.dtype)
        block_slots = slice(block.first_slot, block.first_slot + block.slots)
        seen_keys = keys[block_slots, start : block.keys].transpose(1, 2)
        seen_values = values[block_slots, start : block.keys].transpose(1, 2)
        queries = rows[block.rows].unflatten(0, (block.slots, block.rows_per_slot))
        if softcap is None and s_aux is None:
            output = _attend_fused(queries, seen_keys, seen_values, mask, scale)
        else:
            output = _attend_plainly(queries, seen_keys, seen_values, mask, scale, softcap, s_aux)
        outputs.append(output)
    return (outputs[0] if len(outputs) == 1 else torch.cat(outputs)).unsqueeze(0), None


def _attend_fused(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor | None, scale: float
) -> torch.Tensor:
    """queries (slots, rows, heads, dim), keys and values (slots, kv_heads, n, dim), mask (slots, rows, n).

    Returns (slots * rows, heads, value dim).
    """
    slots, rows, heads, dim = queries.shape
    bias = None if mask is None else mask[:, None]
    if rows == 1:
        # the heads that share a key head stand as rows: the keys are read once for them all, and no mask differs
        grouped = queries.reshape(slots, keys.shape[1], -1, dim)
        output = F.scaled_dot_product_attention(grouped, keys, values, attn_mask=bias, scale=scale)
        return output.reshape(slots, heads, -1)
    output = F.scaled_dot_product_attention(
        queries.transpose(1, 2), keys, values, attn_mask=bias, scale=scale, enable_gqa=heads != keys.shape[1]
    )
    return output.transpose(1, 2).flatten(0, 1)


def _attend_plainly(
    queries: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    mask: torch.Tensor | None,
    scale: float,
    softcap: float | None,
    sinks: torch.Tensor | None,
) -> torch.Tensor:
    """As `_attend_fused`, and with what that lacks: `softcap`, a bound on the scores, and `sinks` (heads,)."""
    slots, rows, heads, dim = queries.shape
    kv_heads, seen = keys.shape[1], keys.shape[2]
    # the heads that share a key head, and their rows, are the rows of one product
    grouped = queries.reshape(slots, rows, kv_heads, -1, dim).permute(0, 2, 3, 1, 4).reshape(slots, kv_heads, -1, dim)
    # contiguous keys: oneDNN takes no others, and without it the product costs ten times as much as the copy
    scores = torch.matmul(grouped, keys.contiguous().transpose(-1, -2)).mul_(scale)
    scores = scores.view(slots, kv_heads, -1, rows, seen)
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    if mask is not None:
        scores = scores + mask[:, None, None]
    if sinks is not None:
        column = sinks.to(scores.dtype).view(1, kv_heads, -1, 1, 1).expand(*scores.shape[:-1], 1)
        scores = torch.cat([scores, column], dim=-1)
    weights = scores.softmax(dim=-1, dtype=torch.float32).to(values.dtype)[..., :seen]
    output = torch.matmul(weights.reshape(slots, kv_heads, -1, seen), values)
    return (
        output.view(slots, kv_heads, -1, rows, output.shape[-1]).permute(0, 3, 1, 2, 4).reshape(slots * rows, heads, -1)
    )


ALL_ATTENTION_FUNCTIONS.register(NAME, attend)
