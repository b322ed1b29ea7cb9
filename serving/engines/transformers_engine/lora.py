"""The arithmetic of adapters: many low-rank products at once, each row with its own.

Adapters stand in slots. The A of all slots are one matrix, so are the B; between the two products every row keeps only
the ranks of its own adapter, times the strength that it asked for. Only the slots up to the last one in use are
computed, so a step with four adapters costs the same whether four or a hundred are known.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F


class RowWeights:
    """How much of each slot's adapter each row of a step gets."""

    def __init__(self, weights: torch.Tensor) -> None:
        """weights: (rows, slots in use), zero but for the row's own adapter."""
        self.slots = weights.shape[1]
        self._weights = weights
        self._by_ranks: dict[int, torch.Tensor] = {}

    def of_ranks(self, ranks: int) -> torch.Tensor:
        """(rows, slots * ranks): the weights, once for each of a slot's ranks."""
        if ranks not in self._by_ranks:
            self._by_ranks[ranks] = self._weights.repeat_interleave(ranks, dim=1)
        return self._by_ranks[ranks]


class LoraStack:
    """The adapters' matrices of one joined layer, for all slots.

    targets: which members of the layer adapters may change. A slot has `rank` ranks for each of these; what an adapter
    has less is zero.
    """

    def __init__(
        self,
        targets: Sequence[int],
        sizes: Sequence[int],
        in_features: int,
        *,
        slots: int,
        rank: int,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        self._targets = tuple(targets)
        self._starts = [sum(sizes[:index]) for index in range(len(sizes))]
        self._rank = rank
        self._ranks = rank * len(self._targets)
        self._down = torch.zeros(slots * self._ranks, in_features, dtype=dtype, device=device)
        self._up = torch.zeros(slots * self._ranks, sum(sizes), dtype=dtype, device=device)

    @torch.inference_mode()
    def put(self, slot: int, parts: Sequence[tuple[int, torch.Tensor, torch.Tensor]]) -> None:
        """Fill a slot. parts: member, A (rank, in_features) and B (rank, size of the member) with its scale in it."""
        rows = slice(slot * self._ranks, (slot + 1) * self._ranks)
        self._down[rows].zero_()
        self._up[rows].zero_()
        for member, down, up in parts:
            first = rows.start + self._targets.index(member) * self._rank
            start = self._starts[member]
            self._down[first : first + down.shape[0]] = down
            self._up[first : first + up.shape[0], start : start + up.shape[1]] = up

    def add(self, inputs: torch.Tensor, outputs: torch.Tensor, weights: RowWeights) -> None:
        """Add what the adapters make of `inputs` (…, rows, in_features) to `outputs`, in place."""
        used = weights.slots * self._ranks
        rows = inputs.reshape(-1, inputs.shape[-1])
        low = F.linear(rows, self._down[:used]) * weights.of_ranks(self._ranks)
        outputs.view(-1, outputs.shape[-1]).addmm_(low, self._up[:used])
