"""Keys and values of the running sequences: a slot for each, as long as the longest sequence that may be."""

from __future__ import annotations

import math
import mmap

import torch

from serving.engines.transformers_engine import kernels


class KvCache:
    """Two tensors (slots, context, kv_heads, head_dim) a layer, made when the layer is first written.

    On a CPU the memory is reserved here and taken from the machine when it is first touched, so an idle engine stays
    small. What was never written is zero: attention multiplies it by a weight of zero, which NaN would survive.
    """

    def __init__(self, slots: int, context: int, device: torch.device) -> None:
        self.slots = slots
        self.context = context
        self.device = device
        self._layers: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        self.number = kernels.number_of(self) if kernels.available() else 0
        """What the kernels know this cache by."""

    @property
    def layers(self) -> int:
        return len(self._layers)

    @property
    def bytes_per_token(self) -> int:
        """Over all layers that have been written."""
        tensors = [tensor for layer in self._layers.values() for tensor in layer]
        return sum(tensor.stride(1) * tensor.element_size() for tensor in tensors)

    @property
    def capacity_bytes(self) -> int:
        return self.slots * self.context * self.bytes_per_token

    def write(
        self, layer: int, cells: torch.Tensor, key: torch.Tensor, value: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Store `key` and `value` (rows, kv_heads, head_dim) and return the layer's two tensors.

        cells: (rows,), slot * context + position of each row.
        """
        keys, values = self.tensors(layer, key, value)
        keys.view(-1, *key.shape[1:])[cells] = key
        values.view(-1, *value.shape[1:])[cells] = value
        return keys, values

    def tensors(self, layer: int, key: torch.Tensor, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The layer's keys and values, for such rows as `key` and `value`."""
        if layer not in self._layers:
            self._layers[layer] = (self._zeros(key), self._zeros(value))
            if self.number:
                kernels.operators().set_cache(self.number, layer, *self._layers[layer])
        return self._layers[layer]

    @torch.inference_mode()
    def copy(self, source: int, target: int, tokens: int) -> None:
        """Have the first `tokens` of a slot hold what those of another hold."""
        for keys, values in self._layers.values():
            keys[target, :tokens] = keys[source, :tokens]
            values[target, :tokens] = values[source, :tokens]

    @torch.inference_mode()
    def clear(self, slot: int, tokens: int) -> None:
        """Forget the first `tokens` that a failed sequence wrote: its NaN would reach the slot's next owner."""
        for keys, values in self._layers.values():
            keys[slot, :tokens].zero_()
            values[slot, :tokens].zero_()

    def _zeros(self, like: torch.Tensor) -> torch.Tensor:
        shape = (self.slots, self.context, *like.shape[1:])
        if self.device.type != "cpu":
            return torch.zeros(shape, dtype=like.dtype, device=self.device)
        # torch.zeros touches every page; these are pages that the kernel fills when they are needed
        memory = _reserved(math.prod(shape) * like.element_size())
        return torch.frombuffer(memory, dtype=like.dtype, count=math.prod(shape)).view(shape)


def _reserved(size: int) -> mmap.mmap:
    """Raises MemoryError."""
    try:
        memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError as error:
        raise MemoryError(str(error)) from error
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        # pages of 2 MiB would be filled for a few tokens of each slot and layer: seconds, and gigabytes
        memory.madvise(mmap.MADV_NOHUGEPAGE)
    return memory
