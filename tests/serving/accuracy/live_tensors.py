"""The bytes of all tensors that live at the same moment, counted operation by operation: what a GPU would hold."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter


class _LiveTensors(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.peak = 0
        self._sizes: dict[int, int] = {}
        self._total = 0

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        made_before = {each.untyped_storage()._cdata for each in tree_iter(args) if isinstance(each, torch.Tensor)}
        for tensor in tree_iter(result):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                if storage._cdata not in made_before | self._sizes.keys():
                    self._sizes[storage._cdata] = storage.nbytes()
                    self._total += storage.nbytes()
                    weakref.finalize(storage, self._forget, storage._cdata)
        self.peak = max(self.peak, self._total)
        return result

    def _forget(self, storage: int) -> None:
        self._total -= self._sizes.pop(storage, 0)


def peak_tensor_bytes(step: Callable[[], object]) -> int:
    """The most that tensors made within `step` take together; what an operation makes and drops inside is not seen."""
    with _LiveTensors() as live:
        step()
    return live.peak
