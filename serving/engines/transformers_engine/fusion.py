"""Operators of a recorded step that the CPU kernels compute at once.

They are found by their pattern, whatever module they are of. A pattern that a family or a version of transformers
writes otherwise is not found, and stays as it is.
"""

from __future__ import annotations

import logging

import torch

_log = logging.getLogger(__name__)

_NORM_INPUTS = (
    "%x, %weight, %epsilon, %wide, %narrow, %two, %one, %dims, %yes, "
    "%no.1, %no.2, %no.3, %no.4, %none.1, %none.2, %none.3"
)
_RMS_NORM = f"""
graph({_NORM_INPUTS}):
  %float = aten::to(%x, %wide, %no.1, %no.2, %none.1)
  %squares = aten::pow(%float, %two)
  %mean = aten::mean(%squares, %dims, %yes, %none.2)
  %sum = aten::add(%mean, %epsilon, %one)
  %factor = aten::rsqrt(%sum)
  %product = aten::mul(%float, %factor)
  %rounded = aten::to(%product, %narrow, %no.3, %no.4, %none.3)
  %result = aten::mul(%weight, %rounded)
  return (%result)
"""
_RMS_NORM_KERNEL = f"""
graph({_NORM_INPUTS}):
  %result = modelyard::rms_norm(%x, %weight, %epsilon, %wide, %narrow)
  return (%result)
"""

_HALF = """
  %size.{0} = aten::size(%x, %axis)
  %number.{0} = prim::NumToTensor(%size.{0})
  %half.{0} = aten::floor_divide(%number.{0}, %two)
  %middle.{0} = aten::Int(%half.{0})
"""
_ROTARY = """
graph(%x, %cosine, %sine, %axis, %two, %zero, %end, %one, %last):
  %straight = aten::mul(%x, %cosine)
  {first_half}
  %first = aten::slice(%x, %axis, %zero, %middle.1, %one)
  {second_half}
  %second = aten::slice(%x, %axis, %middle.{from_}, %end, %one)
  %negative = aten::neg(%second)
  %halves : Tensor[] = prim::ListConstruct(%negative, %first)
  %turned = aten::cat(%halves, %last)
  %across = aten::mul(%turned, %sine)
  %result = aten::add(%straight, %across, %one)
  return (%result)
"""
_ROTARIES = (
    _ROTARY.format(first_half=_HALF.format(1), second_half=_HALF.format(2), from_=2),
    # PyTorch itself has seen that both halves are of one size
    _ROTARY.format(first_half=_HALF.format(1), second_half="", from_=1),
)
_ROTARY_KERNEL = """
graph(%x, %cosine, %sine, %axis, %two, %zero, %end, %one, %last):
  %result = modelyard::rotary(%x, %cosine, %sine)
  return (%result)
"""

_GATE = """
graph(%gate, %up):
  %active = aten::silu(%gate)
  %result = aten::mul({})
  return (%result)
"""
_GATES = (_GATE.format("%active, %up"), _GATE.format("%up, %active"))
_GATE_KERNEL = """
graph(%gate, %up):
  %result = modelyard::silu_mul(%gate, %up)
  return (%result)
"""

_PATTERNS = (
    (_RMS_NORM, _RMS_NORM_KERNEL),
    *((pattern, _ROTARY_KERNEL) for pattern in _ROTARIES),
    *((pattern, _GATE_KERNEL) for pattern in _GATES),
)


def fused(record: torch.jit.ScriptModule) -> torch.jit.ScriptModule:
    """A recorded step, with kernels in the place of the patterns."""
    frozen = torch.jit.freeze(record.eval(), optimize_numerics=False)
    for pattern, kernel in _PATTERNS:
        torch._C._jit_pass_custom_pattern_based_rewrite_graph(pattern, kernel, frozen.graph)
    torch._C._jit_pass_dce(frozen.graph)
    counts = {name: str(frozen.graph).count(f"modelyard::{name}(") for name in ("rms_norm", "rotary", "silu_mul")}
    _log.info("of a recorded step, %s are computed at once", ", ".join(f"{n} {name}" for name, n in counts.items()))
    return frozen
