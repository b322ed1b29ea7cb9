"""The CPU kernels beside the same sums in float32 by PyTorch."""

from __future__ import annotations

import math
import os
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from transformers.models.llama.modeling_llama import LlamaRMSNorm, apply_rotary_pos_emb

from serving.engines.transformers_engine import kernels
from serving.engines.transformers_engine.kv_cache import KvCache
from tests.serving.engines.conftest import needs_kernels

pytestmark = needs_kernels

DTYPES = [torch.float32, torch.bfloat16]
ROUNDING = {torch.float32: 1e-5, torch.bfloat16: 6e-3}
"""Relative to the norm: one rounding to bfloat16 is 2^-9 of a number at most."""


def close(ours: torch.Tensor, exact: torch.Tensor, dtype: torch.dtype) -> None:
    assert ours.dtype == dtype
    assert ours.shape == exact.shape
    assert float((ours.double() - exact.double()).norm() / exact.double().norm()) < ROUNDING[dtype]


def test_an_x86_cpu_of_the_last_decade_has_kernels() -> None:
    assert kernels.available()
    assert kernels.operators().instruction_set() in ("avx2", "avx512", "avx512_bf16")


@pytest.mark.parametrize(("out", "in_"), [(1, 2), (16, 64), (33, 50), (96, 576), (577, 130)])
@pytest.mark.parametrize("rows", [*range(1, 15), 97, 300])
@torch.inference_mode()
def test_products(rows: int, out: int, in_: int) -> None:
    torch.manual_seed(rows)
    weight, bias = torch.randn(out, in_).bfloat16(), torch.randn(out).bfloat16()
    inputs = torch.randn(1, rows, in_).bfloat16()
    packed = kernels.operators().pack(weight)
    exact = F.linear(inputs.double(), weight.double())
    close(kernels.operators().linear(inputs, packed, None, out), exact, torch.bfloat16)
    close(kernels.operators().linear(inputs, packed, bias, out), exact + bias.double(), torch.bfloat16)


@torch.inference_mode()
def test_products_keep_what_is_no_number() -> None:
    inputs = torch.ones(2, 64).bfloat16()
    inputs[0, 0], inputs[1, 1] = math.nan, math.inf
    found = kernels.operators().linear(inputs, kernels.operators().pack(torch.ones(32, 64).bfloat16()), None, 32)
    assert found[0].isnan().all()
    assert found[1].isposinf().all()


def test_a_wrong_shape_is_refused() -> None:
    packed = kernels.operators().pack(torch.ones(32, 64).bfloat16())
    with pytest.raises(RuntimeError, match="do not fit"):
        kernels.operators().linear(torch.ones(1, 62).bfloat16(), packed, None, 32)


def attention(
    queries: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    positions: list[int],
    *,
    scale: float,
    window: int = 0,
    softcap: float = 0.0,
    sinks: torch.Tensor | None = None,
) -> torch.Tensor:
    """By its definition, in float64: queries (rows, heads, dim), keys and values (n, kv_heads, dim) of one sequence."""
    group = queries.shape[1] // keys.shape[1]
    scores = torch.einsum("rhd,nhd->rhn", queries.double(), keys.double().repeat_interleave(group, dim=1)) * scale
    if softcap:
        scores = softcap * torch.tanh(scores / softcap)
    at, key = torch.tensor(positions)[:, None], torch.arange(len(keys))[None]
    seen = (key <= at) & ((key > at - window) if window else torch.tensor(True))
    scores = scores.masked_fill(~seen[:, None], -math.inf)
    if sinks is not None:
        scores = torch.cat([scores, sinks.double()[None, :, None].expand(len(positions), -1, 1)], dim=-1)
    weights = scores.softmax(dim=-1)[..., : len(keys)]
    return torch.einsum("rhn,nhd->rhd", weights, values.double().repeat_interleave(group, dim=1))


LAYER = 3


def known(cache: torch.Tensor) -> int:
    """What the kernels know a layer's keys and values by, (2, slots, context, kv_heads, dim)."""
    number = kernels.number_of(cache)
    kernels.operators().set_cache(number, LAYER, cache[0], cache[1])
    return number


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dim", [16, 32, 64, 80, 96, 128, 256])
@pytest.mark.parametrize(("heads", "kv_heads"), [(4, 4), (9, 3), (7, 1)])
@pytest.mark.parametrize("extra", ["", "window", "softcap", "sinks"])
@torch.inference_mode()
def test_attention_of_a_mixed_step(dtype: torch.dtype, dim: int, heads: int, kv_heads: int, extra: str) -> None:
    """Rows of three sequences, one of them a prompt, over a cache that holds their past."""
    torch.manual_seed(dim)
    cache = torch.randn(2, 4, 70, kv_heads, dim).to(dtype)
    past = cache.clone()
    sequences = [(2, 37, 1), (0, 0, 9), (3, 55, 5)]
    slots = [slot for slot, _, rows in sequences for _ in range(rows)]
    positions = [first + row for _, first, rows in sequences for row in range(rows)]
    # as modules give them: heads and rows change places in memory
    query, key, value = (
        torch.randn(count, len(slots), dim).to(dtype).transpose(0, 1) for count in (heads, kv_heads, kv_heads)
    )
    window, softcap = 11 if extra == "window" else 0, 2.0 if extra == "softcap" else 0.0
    sinks = torch.randn(heads).to(dtype) if extra == "sinks" else None
    scale = dim**-0.5
    ours = kernels.operators().attend(
        *(query, key, value, known(cache), LAYER, torch.tensor(slots), torch.tensor(positions)),
        *(scale, window, softcap, sinks),
    )
    row = 0
    for slot, first, rows in sequences:
        these = slice(row, row + rows)
        past[0, slot, first : first + rows], past[1, slot, first : first + rows] = key[these], value[these]
        exact = attention(
            query[these],
            past[0, slot, : first + rows],
            past[1, slot, : first + rows],
            positions[these],
            scale=scale,
            window=window,
            softcap=softcap,
            sinks=sinks,
        )
        close(ours[these], exact, dtype)
        row += rows
    assert torch.equal(cache, past), "the rows' keys and values are stored, and nothing else is touched"


def test_a_cache_is_forgotten_with_what_it_belongs_to() -> None:
    query, cache = torch.zeros(1, 2, 16), KvCache(1, 4, torch.device("cpu"))
    cache.tensors(LAYER, query, query)
    number, where = cache.number, (torch.tensor([0]), torch.tensor([0]))
    kernels.operators().attend(query, query, query, number, LAYER, *where, 1.0, 0, 0.0, None)
    del cache
    with pytest.raises(RuntimeError, match="no cache"):
        kernels.operators().attend(query, query, query, number, LAYER, *where, 1.0, 0, 0.0, None)


def test_a_row_outside_the_cache_is_refused() -> None:
    query, cache = torch.zeros(1, 2, 16), torch.zeros(2, 2, 4, 2, 16)
    where = torch.tensor([0]), torch.tensor([4])
    with pytest.raises(RuntimeError, match="no cell"):
        kernels.operators().attend(query, query, query, known(cache), LAYER, *where, 1.0, 0, 0.0, None)


def test_numbers_of_another_type_are_refused() -> None:
    query, cache = torch.zeros(1, 2, 16), torch.zeros(2, 2, 4, 2, 16)
    where = torch.tensor([0], dtype=torch.int32), torch.tensor([0], dtype=torch.int32)
    with pytest.raises(RuntimeError, match="expected scalar type Long but found Int"):
        kernels.operators().attend(query, query, query, known(cache), LAYER, *where, 1.0, 0, 0.0, None)
    packed = kernels.operators().pack(torch.zeros(8, 16, dtype=torch.bfloat16))
    with pytest.raises(RuntimeError, match="expected scalar type BFloat16 but found Float"):
        kernels.operators().linear(torch.zeros(1, 16, dtype=torch.bfloat16), packed.float(), None, 8)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows", [1, 3, 20])
@torch.inference_mode()
def test_adapters_by_row(dtype: torch.dtype, rows: int) -> None:
    torch.manual_seed(rows)
    ranks, in_, out, slots = 12, 50, 37, 5
    down, up = (torch.randn(slots * ranks, size).to(dtype) * 0.2 for size in (in_, out))
    of_rows, strengths = torch.randint(-1, slots, (rows,)), torch.rand(rows)
    inputs, outputs = torch.randn(1, rows, in_).to(dtype), torch.randn(1, rows, out).to(dtype)
    exact = outputs.double().clone()
    for row, (slot, strength) in enumerate(zip(of_rows.tolist(), strengths.tolist(), strict=True)):
        if slot >= 0:
            its = slice(slot * ranks, (slot + 1) * ranks)
            exact[0, row] += strength * (inputs[0, row].double() @ down[its].double().T) @ up[its].double()
    layer, step = kernels.number_of(exact), kernels.number_of(inputs)
    kernels.operators().set_adapters(layer, down, up, ranks)
    kernels.operators().set_rows(step, of_rows, strengths)
    close(kernels.operators().add_lora(inputs, outputs, layer, step), exact, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [1, 7, 64, 1000, 49152])
@torch.inference_mode()
def test_the_largest_number(dtype: torch.dtype, size: int) -> None:
    torch.manual_seed(size)
    rows = torch.randn(5, size).to(dtype)
    rows[1, size // 2 :] = rows[1].max() + 1  # the first of equals is meant
    rows[2] = -math.inf
    rows[3, -1] = math.nan
    values, indices = kernels.operators().highest(rows)
    assert values[[0, 1, 2, 4]].tolist() == rows.max(dim=-1).values[[0, 1, 2, 4]].tolist()
    assert values[3].isnan()
    assert indices[[0, 1, 4]].tolist() == rows.float().argmax(dim=-1)[[0, 1, 4]].tolist()
    assert indices[1] == size // 2
    assert all(0 <= index < size for index in indices.tolist())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [8, 37, 576])
@torch.inference_mode()
def test_norms_are_those_of_transformers(dtype: torch.dtype, size: int) -> None:
    torch.manual_seed(size)
    norm = LlamaRMSNorm(size, eps=1e-5).to(dtype)
    norm.weight.copy_(torch.randn(size))
    inputs = torch.randn(1, 7, size).to(dtype) * 3
    wide, narrow = 6, 15 if dtype == torch.bfloat16 else 6
    ours = kernels.operators().rms_norm(inputs, norm.weight, torch.tensor(1e-5, dtype=torch.double), wide, narrow)
    close(ours, norm(inputs), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dim", [6, 16, 64, 72])
@torch.inference_mode()
def test_rotation_is_that_of_transformers(dtype: torch.dtype, dim: int) -> None:
    torch.manual_seed(dim)
    inputs = torch.randn(1, 5, 3, dim).to(dtype).transpose(1, 2)
    angles = torch.rand(1, 5, dim) * 7
    cosine, sine = angles.cos().to(dtype), angles.sin().to(dtype)
    exact, _ = apply_rotary_pos_emb(inputs, inputs, cosine, sine)
    close(kernels.operators().rotary(inputs, cosine[:, None], sine[:, None]), exact, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [3, 40, 1536])
@torch.inference_mode()
def test_gates(dtype: torch.dtype, size: int) -> None:
    torch.manual_seed(size)
    gate, up = (torch.randn(1, 9, 2 * size) * 10).to(dtype).split([size, size], dim=-1)
    close(kernels.operators().silu_mul(gate, up), F.silu(gate.double()) * up.double(), dtype)


def test_they_can_be_switched_off() -> None:
    code = "from serving.engines.transformers_engine import kernels; print(kernels.available())"
    said = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {kernels.SWITCH: "0"}, capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == "False"
