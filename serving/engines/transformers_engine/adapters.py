"""The adapters that an engine knows, and which of them stand in the slots that a step can compute."""

from __future__ import annotations

import logging
from collections import Counter, OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch

from presets.serve_config import ADAPTER_COPIES_BYTES, ADAPTER_RANK_STEP
from serving.engines.protocol import Adapter, AdapterRefused, RequestFailed
from serving.engines.transformers_engine.adapter_weights import AdapterWeights, LayerShape, read_adapter
from serving.engines.transformers_engine.joined_linears import JoinedLinear
from serving.engines.transformers_engine.lora import LoraStack, Run, StepRows

_log = logging.getLogger(__name__)


@dataclass
class _Slot:
    adapter_id: str = ""
    users: int = 0


class AdapterStore:
    """Adapters by id; any number of them, of which as many as there are slots are computed in one step."""

    def __init__(
        self,
        layers: Sequence[JoinedLinear],
        rows: StepRows,
        *,
        max_slots: int,
        dtype: torch.dtype,
        device: torch.device,
        memory_bytes: int = ADAPTER_COPIES_BYTES,
    ) -> None:
        self._layers = [layer for layer in layers if layer.rows is rows]
        self._rows = rows
        self._max_slots = max_slots
        self._slots: list[_Slot] = []
        self._dtype = dtype
        self._device = device
        self._memory_bytes = memory_bytes
        self._known: dict[str, Adapter] = {}
        self._leaving: set[str] = set()
        self._requests: Counter[str] = Counter()
        self._weights: OrderedDict[str, AdapterWeights] = OrderedDict()
        self._lost: list[tuple[str, AdapterRefused]] = []
        self._rank = 0
        self._targets: frozenset[str] = frozenset()
        self.shapes = {
            name: LayerShape(layer.in_features, size)
            for layer in self._layers
            for name, size in zip(layer.names, layer.sizes, strict=True)
        }
        """By name: the layers that an adapter may change."""

    def read(self, adapter: Adapter) -> AdapterWeights:
        """The adapter's weights, from its files. Changes nothing here: any thread may call it.

        Raises AdapterRefused.
        """
        return read_adapter(adapter.path, self.shapes, self._dtype)

    def add(self, adapter: Adapter, weights: AdapterWeights) -> None:
        """Know an adapter, whose weights have been read, from now on."""
        rank = max(self._rank, -(-weights.rank // ADAPTER_RANK_STEP) * ADAPTER_RANK_STEP)
        targets = self._targets | set(weights.layers)
        staying = self._known.keys() - self._leaving - {adapter.id}
        # no more than planned for (presets.adapter_memory), so not twice as many whenever they do not suffice
        slots = max(len(self._slots), min(self._max_slots, len(staying) + 1))
        if (rank, targets, slots) != (self._rank, self._targets, len(self._slots)):
            self._rebuild(rank, targets, slots)
        self._known[adapter.id] = adapter
        self._leaving.discard(adapter.id)
        self._keep(adapter.id, weights)

    def remove(self, adapter_id: str) -> None:
        """Take no new requests for an adapter; forget it when the last of those it has been entered for has left."""
        if self._requests[adapter_id]:
            self._leaving.add(adapter_id)
        else:
            self._forget(adapter_id)

    def knows(self, adapter_id: str) -> bool:
        """Whether new requests may use it."""
        return adapter_id in self._known and adapter_id not in self._leaving

    def enter(self, adapter_id: str) -> None:
        """Keep an adapter for a request until `leave`. Raises RequestFailed if it is not known or on its way out."""
        if not self.knows(adapter_id):
            raise RequestFailed(f"the adapter {adapter_id} is not loaded")
        self._requests[adapter_id] += 1

    def leave(self, adapter_id: str) -> None:
        """A request that entered has ended."""
        self._requests[adapter_id] -= 1
        if not self._requests[adapter_id]:
            del self._requests[adapter_id]
            if adapter_id in self._leaving:
                self._forget(adapter_id)

    def strength(self, adapter_id: str) -> float:
        """The adapter's own, of one that has been entered."""
        return self._known[adapter_id].strength

    def acquire(self, adapter_id: str) -> int | None:
        """A slot with the adapter in it, which stays until `release`; None while others use all slots.

        The lowest slot without users is taken, since a step computes all slots up to the last in use. Raises
        RequestFailed if the weights were put out of memory and cannot be read again; then it is lost.
        """
        index = self._index_of(adapter_id)
        if index is None:
            return None
        slot = self._slots[index]
        if slot.adapter_id != adapter_id:
            try:
                self._put(index, adapter_id)
            except AdapterRefused as refused:
                self._lost.append((adapter_id, refused))
                self.remove(adapter_id)
                raise RequestFailed(f"the adapter {adapter_id} cannot be read again: {refused}") from refused
        slot.users += 1
        return index

    def release(self, index: int) -> None:
        """Give back what `acquire` gave."""
        self._slots[index].users -= 1

    def take_lost(self) -> list[tuple[str, AdapterRefused]]:
        """Adapters that new requests no longer find since the last call, because they could not be read again."""
        lost, self._lost = self._lost, []
        return lost

    def set_rows(self, runs: Iterable[Run]) -> None:
        """Say what the next forward's rows are, in their order."""
        self._rows.set(runs, self._dtype, self._device)

    def _index_of(self, adapter_id: str) -> int | None:
        free = [index for index, slot in enumerate(self._slots) if not slot.users]
        holding = [index for index, slot in enumerate(self._slots) if slot.adapter_id == adapter_id]
        in_use = [index for index in holding if self._slots[index].users]
        return next(iter([*in_use, *free]), None)

    def _put(self, index: int, adapter_id: str) -> None:
        weights = self._weights_of(adapter_id)
        self._slots[index].adapter_id = ""
        for layer in self._layers:
            if layer.lora is not None:
                parts = [
                    (member, *weights.layers[name]) for member, name in enumerate(layer.names) if name in weights.layers
                ]
                layer.lora.put(index, parts)
        self._slots[index].adapter_id = adapter_id

    def _weights_of(self, adapter_id: str) -> AdapterWeights:
        weights = self._weights.get(adapter_id)
        if weights is None:
            _log.info("reading the adapter %s again", adapter_id)
            weights = self.read(self._known[adapter_id])
        self._keep(adapter_id, weights)
        return weights

    def _keep(self, adapter_id: str, weights: AdapterWeights) -> None:
        self._weights[adapter_id] = weights
        self._weights.move_to_end(adapter_id)
        while len(self._weights) > 1 and sum(each.size_bytes for each in self._weights.values()) > self._memory_bytes:
            self._weights.popitem(last=False)

    def _rebuild(self, rank: int, targets: frozenset[str], slots: int) -> None:
        """Make other matrices, one layer after another, so that never two of all are there.

        Where memory does not suffice, layers that have larger ones already keep them, and nothing else has changed.
        """
        try:
            for layer in self._layers:
                layer.use(self._stack(layer, rank, targets, slots))
            self._rank, self._targets = rank, targets
            self._slots += [_Slot() for _ in range(slots - len(self._slots))]
        finally:
            self._fill_again()

    def _stack(self, layer: JoinedLinear, rank: int, targets: frozenset[str], slots: int) -> LoraStack | None:
        """Empty matrices for a layer; None for one that no adapter changes."""
        members = [member for member, name in enumerate(layer.names) if name in targets]
        if not members or not slots:
            return None
        return LoraStack(
            members,
            layer.sizes,
            layer.in_features,
            slots=slots,
            rank=rank,
            dtype=self._dtype,
            device=self._device,
        )

    def _fill_again(self) -> None:
        """Put in what running requests use; the others are put in when they are asked for."""
        for index, slot in enumerate(self._slots):
            adapter_id, slot.adapter_id = slot.adapter_id, ""
            if slot.users:
                self._put(index, adapter_id)

    def _forget(self, adapter_id: str) -> None:
        self._known.pop(adapter_id, None)
        self._leaving.discard(adapter_id)
        self._weights.pop(adapter_id, None)
        for slot in self._slots:
            if slot.adapter_id == adapter_id:
                slot.adapter_id = ""
