"""The CPU kernels of the package `modelyard_kernels`: used where it is installed and computes what PyTorch computes."""

from __future__ import annotations

import functools
import importlib
import itertools
import logging
import os
import weakref

import torch
import torch.nn.functional as F

_log = logging.getLogger(__name__)

SWITCH = "MODELYARD_KERNELS"
"""An environment variable: 0 has the engine leave the kernels alone."""

_numbers = itertools.count(1)
_DTYPES = (torch.bfloat16, torch.float32)


@functools.cache
def available() -> bool:
    """Whether the kernels are installed, this CPU runs them, and a small sum comes out as it does without them."""
    if os.environ.get(SWITCH) == "0":
        _log.info("CPU kernels: left alone, since %s is 0", SWITCH)
        return False
    try:
        instruction_set = importlib.import_module("modelyard_kernels").instruction_set()
    except (ImportError, OSError) as error:
        _log.info("CPU kernels: not installed (%s); PyTorch's own operators are used, which are slower", error)
        return False
    if not instruction_set:
        _log.info("CPU kernels: not made for this CPU; PyTorch's own operators are used")
        return False
    if not _agree():
        _log.error("CPU kernels (%s) do not compute what PyTorch computes and are not used", instruction_set)
        return False
    _log.info("CPU kernels: %s", instruction_set)
    return True


def operators() -> torch._ops._OpNamespace:
    """`torch.ops.modelyard`; only where they are `available`."""
    return torch.ops.modelyard


def can_pack(weight: torch.Tensor) -> bool:
    """Whether `operators().linear` computes with such weights (out, in)."""
    return weight.dtype == torch.bfloat16 and weight.device.type == "cpu" and weight.shape[1] % 2 == 0 and available()


def can_add(weight: torch.Tensor) -> bool:
    """Whether `operators().add_lora` adds adapters to the outputs of a product with such weights."""
    return weight.device.type == "cpu" and weight.dtype in _DTYPES and available()


def highest(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The largest number of each row (rows, vocabulary) and an index of it; NaN where a row has one."""
    if logits.device.type == "cpu" and logits.dtype in _DTYPES and logits.stride(-1) == 1 and available():
        return operators().highest(logits)
    found = logits.max(dim=-1)
    return found.values, found.indices


def number_of(owner: object) -> int:
    """What the kernels know an object by, as long as it lives: they keep what they are told of it."""
    number = next(_numbers)
    weakref.finalize(owner, operators().forget, number)
    return number


def can_attend(query: torch.Tensor, value: torch.Tensor) -> bool:
    """Whether `operators().attend` computes attention of such heads, (…, dim)."""
    dim = int(query.shape[-1])  # a number even while a step is recorded
    return (
        query.device.type == "cpu"
        and query.dtype in _DTYPES
        and int(value.shape[-1]) == dim
        and available()
        and _can_attend(dim)
    )


@functools.cache
def _can_attend(dim: int) -> bool:
    return operators().can_attend(dim)


@torch.inference_mode()
def _agree() -> bool:
    """Products of rows of every remainder, and attention, beside PyTorch's in float32."""
    numbers = torch.Generator().manual_seed(0)
    weight = torch.randn(70, 96, generator=numbers).bfloat16()
    packed = operators().pack(weight)
    for rows in (1, 2, 3, 6, 13):
        inputs = torch.randn(rows, 96, generator=numbers).bfloat16()
        exact = F.linear(inputs.float(), weight.float())
        if not _close(operators().linear(inputs, packed, None, 70), exact):
            return False
    for dtype in _DTYPES:
        query, key, value = (torch.randn(9, heads, 16, generator=numbers).to(dtype) for heads in (4, 2, 2))
        cache = torch.zeros(2, 1, 9, 2, 16, dtype=dtype)
        number = next(_numbers)
        operators().set_cache(number, 0, cache[0], cache[1])
        slots, positions = torch.zeros(9, dtype=torch.long), torch.arange(9)
        ours = operators().attend(query, key, value, number, 0, slots, positions, 0.25, 0, 0.0, None)
        operators().forget(number)
        heads_first = [each.float().transpose(0, 1)[None] for each in (query, key, value)]
        exact = F.scaled_dot_product_attention(
            heads_first[0], heads_first[1], heads_first[2], is_causal=True, scale=0.25, enable_gqa=True
        )
        if not _close(ours, exact[0].transpose(0, 1)):
            return False
    return True


def _close(ours: torch.Tensor, exact: torch.Tensor) -> bool:
    return bool((ours.float() - exact).norm() <= 0.01 * exact.norm())
