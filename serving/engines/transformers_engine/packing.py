"""Linear layers whose weights are put into the order in which this CPU multiplies them fastest."""

from __future__ import annotations

import torch
from torch import nn

from serving.engines.transformers_engine import kernels

_ROWS_HINT = 32
"""Rows that oneDNN's order of the weights is chosen for; other numbers of rows work as well."""


class PackedLinear(nn.Module):
    """Computes what the `nn.Linear` it stands for computes. Inference only, bfloat16 on a CPU."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features = linear.in_features
        self.out_features = linear.out_features
        self.bias = None if linear.bias is None else linear.bias.detach()
        self.weight = self._pack(linear.weight.detach().contiguous())

    def _pack(self, weight: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError


class KernelLinear(PackedLinear):
    """By the kernels of `modelyard_kernels`."""

    def _pack(self, weight: torch.Tensor) -> torch.Tensor:
        return kernels.operators().pack(weight)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return kernels.operators().linear(inputs, self.weight, self.bias, self.out_features)


class OneDnnLinear(PackedLinear):
    """By oneDNN, up to twice as fast as without packing where the CPU multiplies bfloat16."""

    def _pack(self, weight: torch.Tensor) -> torch.Tensor:
        return torch.ops.mkldnn._reorder_linear_weight(weight, _ROWS_HINT)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        if inputs.numel() == 0:  # oneDNN refuses it; an expert that no row was routed to
            return inputs.new_empty((*inputs.shape[:-1], self.out_features))
        return torch.ops.mkldnn._linear_pointwise(inputs, self.weight, self.bias, "none", [], "")


def packed(linear: nn.Linear) -> nn.Module:
    """What computes as `linear` does, and faster; itself where nothing is."""
    if kernels.can_pack(linear.weight):
        return KernelLinear(linear)
    if one_dnn_packs(linear.weight.dtype, linear.weight.device):
        return OneDnnLinear(linear)
    return linear


def one_dnn_packs(dtype: torch.dtype, device: torch.device) -> bool:
    """Whether oneDNN's order pays: without the CPU's bfloat16 instructions the plain layers are as fast."""
    return (
        dtype == torch.bfloat16
        and device.type == "cpu"
        and torch.backends.mkldnn.is_available()
        and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    )
