"""The arithmetic of adapters: many low-rank products at once, each row with its own.

Adapters stand in slots. The A of all slots are one matrix, so are the B; between the two products every row keeps only
the ranks of its own adapter, times the strength that it asked for. Only the slots up to the last one in use are
computed, so a step with four adapters costs the same whether four or a hundred are known.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F

from serving.engines.transformers_engine import kernels


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


class Run(NamedTuple):
    """Rows of a step that follow each other and have the same adapter."""

    slot: int | None
    """None: the base model alone."""
    strength: float
    rows: int


class StepRows:
    """What the adapted layers know of the step that is being computed; shared by all of them."""

    def __init__(self) -> None:
        self.number = kernels.number_of(self) if kernels.available() else 0
        """What the kernels know these rows by."""
        self._make: Callable[[], RowWeights] | None = None
        self._made: RowWeights | None = None

    @property
    def weights(self) -> RowWeights | None:
        """For layers without kernels, made when the first of them asks. None: no row of the step has an adapter."""
        if self._made is None and self._make is not None:
            self._made = self._make()
        return self._made

    def set(self, runs: Iterable[Run], dtype: torch.dtype, device: torch.device) -> None:
        """Say what the next forward's rows are, in their order; dtype and device are the layers'."""
        runs = list(runs)
        before, adapted = self._make is not None, any(run.slot is not None for run in runs)
        self._make = functools.partial(_row_weights, runs, dtype, device) if adapted else None
        self._made = None
        if kernels.available() and (adapted or before):
            slots = [-1 if run.slot is None else run.slot for run in runs for _ in range(run.rows)]
            strengths = [run.strength for run in runs for _ in range(run.rows)]
            kernels.operators().set_rows(self.number, torch.tensor(slots), torch.tensor(strengths))


def _row_weights(runs: Sequence[Run], dtype: torch.dtype, device: torch.device) -> RowWeights:
    used = max(run.slot + 1 for run in runs if run.slot is not None)
    weights = torch.zeros(sum(run.rows for run in runs), used)
    first = 0
    for slot, strength, rows in runs:
        if slot is not None:
            weights[first : first + rows, slot] = strength
        first += rows
    return RowWeights(weights.to(device, dtype))


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
        self.ranks = rank * len(self._targets)
        """Of one slot, over all targets."""
        self.down = torch.zeros(slots * self.ranks, in_features, dtype=dtype, device=device)
        self.up = torch.zeros(slots * self.ranks, sum(sizes), dtype=dtype, device=device)

    @torch.inference_mode()
    def put(self, slot: int, parts: Sequence[tuple[int, torch.Tensor, torch.Tensor]]) -> None:
        """Fill a slot. parts: member, A (rank, in_features) and B (rank, size of the member) with its scale in it."""
        rows = slice(slot * self.ranks, (slot + 1) * self.ranks)
        self.down[rows].zero_()
        self.up[rows].zero_()
        for member, down, up in parts:
            first = rows.start + self._targets.index(member) * self._rank
            start = self._starts[member]
            self.down[first : first + down.shape[0]] = down
            self.up[first : first + up.shape[0], start : start + up.shape[1]] = up

    def add(self, inputs: torch.Tensor, outputs: torch.Tensor, weights: RowWeights) -> None:
        """Add what the adapters make of `inputs` (…, rows, in_features) to `outputs`, in place."""
        used = weights.slots * self.ranks
        rows = inputs.reshape(-1, inputs.shape[-1])
        low = F.linear(rows, self.down[:used]) * weights.of_ranks(self.ranks)
        outputs.view(-1, outputs.shape[-1]).addmm_(low, self.up[:used])
