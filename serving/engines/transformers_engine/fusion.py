"""Operators of a recorded step that the CPU kernels compute at once: found by their pattern, whatever module they are of.

A pattern that a family or a version of transformers writes otherwise is not found, and stays as it is.
"""

from __future__ import annotations

import logging
from typing import Any

import torch

_log = logging.getLogger(__name__)

_RMS_NORM = """
graph(%x, %weight, %epsilon, %wide, %narrow, %two, %one, %last, %yes, %no, %none):
  %float = aten::to(%x, %wide, %no, %no, %none)
  %squares = aten::pow(%float, %two)
  %dims : int[] = prim::ListConstruct(%last)
  %mean = aten::mean(%squares, %dims, %yes, %none)
  %sum = aten::add(%mean, %epsilon, %one)
  %factor = aten::rsqrt(%sum)
  %product = aten::mul(%float, %factor)
  %rounded = aten::to(%product, %narrow, %no, %no, %none)
  %result = aten::mul(%weight, %rounded)
  return (%result)
"""
_RMS_NORM_KERNEL = """
graph(%x, %weight, %epsilon, %wide, %narrow, %two, %one, %last, %yes, %no, %none):
  %result = modelyard::rms_norm(%x, %weight, %epsilon, %wide, %narrow)
  return (%result)
"""

_ROTARY = """
graph(%x, %cosine, %sine, %axis, %two, %zero, %end, %one, %last):
  %straight = aten::mul(%x, %cosine)
  %size.1 = aten::size(%x, %axis)
  %number.1 = prim::NumToTensor(%size.1)
  %half.1 = aten::floor_divide(%number.1, %two)
  %to = aten::Int(%half.1)
  %first = aten::slice(%x, %axis, %zero, %to, %one)
  %size.2 = aten::size(%x, %axis)
  %number.2 = prim::NumToTensor(%size.2)
  %half.2 = aten::floor_divide(%number.2, %two)
  %from = aten::Int(%half.2)
  %second = aten::slice(%x, %axis, %from, %end, %one)
  %negative = aten::neg(%second)
  %halves : Tensor[] = prim::ListConstruct(%negative, %first)
  %turned = aten::cat(%halves, %last)
  %across = aten::mul(%turned, %sine)
  %result = aten::add(%straight, %across, %one)
  return (%result)
"""
_ROTARY_KERNEL = """
graph(%x, %cosine, %sine, %axis, %two, %zero, %end, %one, %last):
  %result = modelyard::rotary(%x, %cosine, %sine)
  return (%result)
"""

_GATE = """
graph(%gate, %up):
  %active = aten::silu(%gate)
  %result = aten::mul(%active, %up)
  return (%result)
"""
_GATE_KERNEL = """
graph(%gate, %up):
  %result = modelyard::silu_mul(%gate, %up)
  return (%result)
"""

_PATTERNS = ((_RMS_NORM, _RMS_NORM_KERNEL), (_ROTARY, _ROTARY_KERNEL), (_GATE, _GATE_KERNEL))


def fused(record: Any) -> Any:
    """A recorded step, with kernels in the place of the patterns."""
    frozen = torch.jit.freeze(record.eval(), optimize_numerics=False)
    for pattern, kernel in _PATTERNS:
        torch._C._jit_pass_custom_pattern_based_rewrite_graph(pattern, kernel, frozen.graph)
    torch._C._jit_pass_dce(frozen.graph)
    counts = {name: str(frozen.graph).count(f"modelyard::{name}(") for name in ("rms_norm", "rotary", "silu_mul")}
    _log.info("of a recorded step, %s are computed at once", ", ".join(f"{n} {name}" for name, n in counts.items()))
    return frozen
