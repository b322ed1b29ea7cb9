"""Packed layers compute what plain ones do, to the rounding of bfloat16."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from serving.engines.transformers_engine.joined_linears import StepRows, join_linears
from serving.engines.transformers_engine.packing import PackedLinear, can_pack

CPU = torch.device("cpu")

pytestmark = pytest.mark.skipif(
    not can_pack(torch.bfloat16, CPU), reason="this CPU has no bfloat16 instructions, so nothing is packed on it"
)


class TwoLayers(nn.Module):
    def __init__(self, bias: bool) -> None:
        super().__init__()
        self.up = nn.Linear(64, 96, bias=bias)
        self.inner = nn.Sequential(nn.Linear(96, 40, bias=bias))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.inner(self.up(inputs))


@pytest.mark.parametrize("rows", [0, 1, 2, 33, 128])
@pytest.mark.parametrize("bias", [True, False])
@torch.inference_mode()
def test_packed_layers_agree_with_float32(rows: int, bias: bool) -> None:
    torch.manual_seed(rows)
    model = TwoLayers(bias).bfloat16()
    exact = TwoLayers(bias)
    exact.load_state_dict(model.state_dict())
    joined = join_linears(model, lambda: model(torch.zeros(1, 2, 64).bfloat16()), 2, StepRows())
    assert [type(layer.product) for layer in joined] == [PackedLinear, PackedLinear]
    inputs = torch.randn(1, rows, 64).bfloat16()
    ours, expected = model(inputs), exact(inputs.float())
    assert ours.shape == expected.shape
    assert ours.dtype == torch.bfloat16
    if rows:
        assert float((ours - expected).norm() / expected.norm()) < 0.01


def test_only_what_gains_is_packed() -> None:
    assert not can_pack(torch.float32, CPU)
    assert not can_pack(torch.bfloat16, torch.device("cuda"))
