"""Linear layers with weights in oneDNN's own order, which a CPU multiplies up to twice as fast in bfloat16."""

from __future__ import annotations

import torch
from torch import nn

_ROWS_HINT = 32
"""Rows that the order of the weights is chosen for; other numbers of rows work as well."""


class PackedLinear(nn.Module):
    """Computes what the `nn.Linear` it stands for computes. Inference only, bfloat16 on a CPU."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features = linear.in_features
        self.out_features = linear.out_features
        self.bias = None if linear.bias is None else linear.bias.detach()
        weight = linear.weight.detach().contiguous()
        self.weight = torch.ops.mkldnn._reorder_linear_weight(weight, _ROWS_HINT)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        if inputs.numel() == 0:  # oneDNN refuses it; an expert that no row was routed to
            return inputs.new_empty((*inputs.shape[:-1], self.out_features))
        return torch.ops.mkldnn._linear_pointwise(inputs, self.weight, self.bias, "none", [], "")


def can_pack(dtype: torch.dtype, device: torch.device) -> bool:
    """Whether packing pays: without the CPU's bfloat16 instructions the plain layers are as fast."""
    return (
        dtype == torch.bfloat16
        and device.type == "cpu"
        and torch.backends.mkldnn.is_available()
        and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    )
