"""The next token of each row of logits. Pure: the random numbers come in as arguments."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from serving.engines.protocol import Sampling
from serving.engines.transformers_engine import kernels
from serving.engines.transformers_engine.adjustments import AllowedTokens, Row, adjusted

CANDIDATES = 256
"""Tokens that top_k and top_p look at first; sorting the whole vocabulary costs ten times as much."""
_BLOCK = 256
"""Neighbouring tokens that are drawn as one at first."""


def choose(logits: torch.Tensor, rows: Sequence[Row], allowed: AllowedTokens | None = None) -> list[int | None]:
    """A token for each row of `logits` (rows, vocabulary); None where the row has a NaN or no finite maximum.

    The same logits, `Row` and allowed tokens give the same token whatever the other rows are. A batch of greedy rows
    without adjustments costs one maximum.
    """
    masked = frozenset(allowed.rows) if allowed is not None else frozenset[int]()
    changed = [index for index, row in enumerate(rows) if row.is_adjusted or index in masked]
    tokens = _choose(logits, rows, apart_from=frozenset(changed))
    if changed:
        table = adjusted(logits, rows, changed, allowed)
        for index, token in zip(changed, _choose(table, [rows[index] for index in changed]), strict=True):
            # What is not finite in the model's own logits fails the row, even where a mask would hide it.
            tokens[index] = None if tokens[index] is None else token
    return tokens


def _choose(logits: torch.Tensor, rows: Sequence[Row], apart_from: frozenset[int] = frozenset()) -> list[int | None]:
    """By these very logits; the rows `apart_from` get their likeliest token."""
    highest, best = kernels.highest(logits)
    finite = highest.isfinite().tolist()
    tokens: list[int | None] = [token if ok else None for token, ok in zip(best.tolist(), finite, strict=True)]
    drawn = [
        index
        for index, row in enumerate(rows)
        if row.sampling.temperature > 0 and finite[index] and index not in apart_from
    ]
    limited = [index for index in drawn if _is_limited(rows[index].sampling, logits.shape[-1])]
    free = [index for index in drawn if not _is_limited(rows[index].sampling, logits.shape[-1])]
    for which, draw in ((free, _draw_from_all), (limited, _draw_from_likeliest)):
        if which:
            samplings = [rows[index].sampling for index in which]
            # by index_select: indexing with a list takes twenty times as long
            places = torch.tensor(which, device=logits.device)
            weights = _weights(logits.index_select(0, places), highest.index_select(0, places), samplings)
            chosen = draw(weights, samplings, [rows[index].uniform for index in which])
            for index, token in zip(which, chosen, strict=True):
                tokens[index] = token
    return tokens


def _is_limited(sampling: Sampling, vocabulary: int) -> bool:
    return sampling.top_p < 1 or 0 < sampling.top_k < vocabulary


def _weights(logits: torch.Tensor, highest: torch.Tensor, samplings: Sequence[Sampling]) -> torch.Tensor:
    """Probabilities up to a factor, float32, without the tokens below min_p.

    The likeliest token weighs 1, so no temperature over- or underflows, and min_p is a bound on the weights. `logits`
    are used up: fresh memory for each operation would take longer than the operations.
    """
    temperatures = torch.tensor([[sampling.temperature] for sampling in samplings], device=logits.device)
    temperatures = temperatures.clamp(min=torch.finfo(torch.float32).tiny)
    weights = logits.float().sub_(highest.float()[:, None]).div_(temperatures).exp_()
    if any(sampling.min_p for sampling in samplings):
        least = torch.tensor([[sampling.min_p] for sampling in samplings], device=logits.device)
        weights = torch.where(weights < least, 0, weights)
    return weights


def _draw_from_all(weights: torch.Tensor, _samplings: Sequence[Sampling], uniforms: Sequence[float]) -> list[int]:
    return _draw(weights, uniforms)


def _draw_from_likeliest(weights: torch.Tensor, samplings: Sequence[Sampling], uniforms: Sequence[float]) -> list[int]:
    """Draw among a few candidates; rows whose limits reach beyond these are sorted in full, one by one.

    Which of the two a row takes depends on the row alone, so that ties are broken alike in every batch.
    """
    count = min(CANDIDATES, weights.shape[-1])
    sorted_weights, ids = weights.topk(count, dim=-1)
    totals = weights.sum(dim=-1, dtype=torch.float64)
    held = sorted_weights.sum(dim=-1, dtype=torch.float64)
    enough = [
        0 < sampling.top_k <= count or (sampling.top_k == 0 and mass >= sampling.top_p * total)
        for sampling, mass, total in zip(samplings, held.tolist(), totals.tolist(), strict=True)
    ]
    picks = ids.gather(-1, _draw_sorted(sorted_weights, totals, samplings, uniforms)).squeeze(-1).tolist()
    for row, candidates_suffice in enumerate(enough):
        if not candidates_suffice:
            one, one_ids = weights[row : row + 1].sort(dim=-1, descending=True, stable=True)
            pick = _draw_sorted(one, totals[row : row + 1], samplings[row : row + 1], uniforms[row : row + 1])
            picks[row] = int(one_ids[0, int(pick)])
    return picks


def _draw_sorted(
    weights: torch.Tensor, totals: torch.Tensor, samplings: Sequence[Sampling], uniforms: Sequence[float]
) -> torch.Tensor:
    """Indices (rows, 1) into weights (rows, n), which fall along each row; totals: (rows,), weight of all tokens.

    top_k first, then top_p of what top_k leaves: the fewest tokens that reach it, and always the likeliest.
    """
    size = weights.shape[-1]
    device = weights.device
    top_k = torch.tensor([[sampling.top_k or size] for sampling in samplings], device=device)
    top_p = torch.tensor([[sampling.top_p] for sampling in samplings], device=device, dtype=torch.float64)
    kept = torch.where(torch.arange(size, device=device) < top_k, weights, 0).double()
    before = kept.cumsum(dim=-1) - kept
    has_top_k = torch.tensor([[sampling.top_k > 0] for sampling in samplings], device=device)
    whole = torch.where(has_top_k, kept.sum(dim=-1, keepdim=True), totals[:, None])
    kept = torch.where((before < top_p * whole) | (top_p >= 1), kept, 0)
    kept[:, 0] = weights[:, 0]
    return _draw_indices(kept, uniforms)


def _draw(weights: torch.Tensor, uniforms: Sequence[float]) -> list[int]:
    return _draw_indices(weights, uniforms).squeeze(-1).tolist()


def _draw_indices(weights: torch.Tensor, uniforms: Sequence[float]) -> torch.Tensor:
    """Indices (rows, 1), each with a probability in proportion to its weight; never one of weight zero.

    First a block of neighbours, then one of it: to sum up the vocabulary token by token takes five times as long.
    """
    uniform = torch.tensor([[number] for number in uniforms], dtype=torch.float64, device=weights.device)
    whole = weights.shape[-1] // _BLOCK * _BLOCK
    blocks = weights[:, :whole].unflatten(-1, (-1, _BLOCK)).sum(dim=-1, dtype=torch.float64)
    rest = weights[:, whole:].sum(dim=-1, keepdim=True, dtype=torch.float64)
    cumulative = torch.cat([blocks, rest], dim=-1).cumsum(dim=-1)
    target = uniform * cumulative[:, -1:]
    block = _first_above(cumulative, target)
    before = torch.where(block > 0, cumulative.gather(-1, (block - 1).clamp(min=0)), 0)
    places = block * _BLOCK + torch.arange(_BLOCK, device=weights.device)
    inside = torch.where(places < weights.shape[-1], weights.gather(-1, places.clamp(max=weights.shape[-1] - 1)), 0)
    return block * _BLOCK + _first_above(inside.cumsum(dim=-1, dtype=torch.float64), target - before)


def _first_above(cumulative: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Where the sums (rows, n) first exceed the target (rows, 1); where rounding has it too high, they end growing."""
    total = cumulative[:, -1:]
    # below the total, so that the search ends at what has a weight
    below = torch.minimum(target, torch.nextafter(total, torch.zeros_like(total)))
    return torch.searchsorted(cumulative, below, right=True)
