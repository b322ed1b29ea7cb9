"""Layers over one input become one product that gives what they gave."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from serving.engines.transformers_engine.joined_linears import JoinedLinear, join_linears
from serving.engines.transformers_engine.lora import StepRows


class Block(nn.Module):
    """Three layers over one input, of which one has a bias; one over another input; two that rows reach otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Linear(8, 6)
        self.key = nn.Linear(8, 4, bias=False)
        self.value = nn.Linear(8, 4, bias=False)
        self.out = nn.Linear(6, 8)
        self.twice = nn.Linear(8, 8)
        self.expert = nn.Linear(8, 8)
        self.unused = nn.Linear(8, 8)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        query, value, key = self.query(inputs), self.value(inputs), self.key(inputs)
        hidden = self.out(query * torch.cat([key, value[..., :2]], dim=-1))
        hidden = self.twice(self.twice(hidden))
        return torch.cat([hidden[:, :1], self.expert(hidden[:, 1:])], dim=1)


@torch.inference_mode()
def joined(block: Block) -> list[JoinedLinear]:
    return join_linears(block, lambda: block(torch.randn(1, 3, 8)), 3, StepRows())


def test_layers_over_one_input_are_one_product() -> None:
    layers = joined(Block())
    assert {layer.names for layer in layers} == {
        ("query", "value", "key"),
        ("out",),
        ("twice",),
        ("expert",),
        ("unused",),
    }


def test_adapters_are_added_where_all_rows_of_a_step_come_by_once() -> None:
    assert {name for layer in joined(Block()) if layer.rows for name in layer.names} == {"query", "key", "value", "out"}


@pytest.mark.parametrize("rows", [2, 3, 7])
@torch.inference_mode()
def test_the_result_is_the_same(rows: int) -> None:
    torch.manual_seed(0)
    block = Block()
    inputs = torch.randn(1, rows, 8)
    expected = block(inputs)
    joined(block)
    torch.testing.assert_close(block(inputs), expected)
    torch.testing.assert_close(block(inputs), expected, msg="a second call with the same tensor")


@torch.inference_mode()
def test_a_member_that_is_asked_again_for_the_same_input_answers_again() -> None:
    block = Block()
    inputs = torch.randn(1, 3, 8)
    expected = block.key(inputs)
    joined(block)
    assert torch.allclose(block.key(inputs), expected)
    assert torch.allclose(block.key(inputs), expected)
    assert torch.allclose(block.key(inputs + 1), block.key(inputs + 1))


def test_a_layer_that_fails_leaves_no_hooks_behind() -> None:
    block = Block()

    def fail() -> None:
        raise RuntimeError("no memory")

    with pytest.raises(RuntimeError):
        join_linears(block, fail, 3, StepRows())
    assert not any(module._forward_pre_hooks for module in block.modules())
