"""Packed layers compute what plain ones do, to the rounding of bfloat16."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from serving.engines.transformers_engine import kernels
from serving.engines.transformers_engine.joined_linears import join_linears
from serving.engines.transformers_engine.lora import StepRows
from serving.engines.transformers_engine.packing import KernelLinear, OneDnnLinear, one_dnn_packs, packed
from tests.serving.engines.conftest import needs_kernels

CPU = torch.device("cpu")


class TwoLayers(nn.Module):
    def __init__(self, bias: bool) -> None:
        super().__init__()
        self.up = nn.Linear(64, 97, bias=bias)
        self.inner = nn.Sequential(nn.Linear(97, 40, bias=bias))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.inner(self.up(inputs))


@pytest.fixture(params=[pytest.param("kernels", marks=needs_kernels), "oneDNN"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "oneDNN":
        if not one_dnn_packs(torch.bfloat16, CPU):
            pytest.skip("this CPU has no bfloat16 instructions, so oneDNN packs nothing on it")
        monkeypatch.setattr(kernels, "can_pack", lambda weight: False)
    return request.param


@pytest.mark.parametrize("rows", [0, 1, 2, 5, 6, 7, 33, 128])
@pytest.mark.parametrize("bias", [True, False])
@torch.inference_mode()
def test_packed_layers_agree_with_float32(rows: int, bias: bool, way: str) -> None:
    torch.manual_seed(rows)
    model = TwoLayers(bias).bfloat16()
    exact = TwoLayers(bias)
    exact.load_state_dict(model.state_dict())
    joined = join_linears(model, lambda: model(torch.zeros(1, 2, 64).bfloat16()), 2, StepRows())
    up, inner = (layer.product for layer in joined)
    if way == "kernels":
        # pairs of inputs are multiplied at once on some CPUs, so an odd number of them is left as it is
        assert isinstance(up, KernelLinear)
        assert not isinstance(inner, KernelLinear)
    else:
        assert isinstance(up, OneDnnLinear)
        assert isinstance(inner, OneDnnLinear)
    inputs = torch.randn(1, rows, 64).bfloat16()
    ours, expected = model(inputs), exact(inputs.float())
    assert ours.shape == expected.shape
    assert ours.dtype == torch.bfloat16
    if rows:
        assert float((ours - expected).norm() / expected.norm()) < 0.01


def test_only_what_gains_is_packed() -> None:
    plain = nn.Linear(8, 8)
    assert packed(plain) is plain
    assert not one_dnn_packs(torch.float32, CPU)
    assert not one_dnn_packs(torch.bfloat16, torch.device("cuda"))
