"""A step of the model as one call: PyTorch records the operators of a forward once and repeats them without Python.

For a small model on a CPU half of a step is Python's way through transformers' modules. What the modules decide by
shapes or numbers is frozen in the record, so it is used only where it gives, for steps of other shapes, what they give.
"""

from __future__ import annotations

import itertools
import logging
import random
import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import nn
from transformers import PreTrainedModel

from serving.engines.transformers_engine import kernels
from serving.engines.transformers_engine.attention import Cells, attending
from serving.engines.transformers_engine.fusion import fused
from serving.engines.transformers_engine.kv_cache import KvCache

_log = logging.getLogger(__name__)

_RECORDED = ((1, 3, 1), (2, 5, 1), (0, 0, 4))
"""Slot, first position and rows of each sequence of the step that is recorded: single rows and a prompt."""
_COMPARED = (
    ((0, 4, 1),),
    ((0, 5, 17),),
    ((0, 22, 1), (1, 4, 1), (2, 6, 1), (3, 0, 1)),
    ((3, 1, 1), (0, 23, 9), (1, 5, 12)),
)
"""Of a cache with fewer slots, as much as it has; the first slot is in every step."""
_CONTEXT = 32
"""Tokens of a sequence in these steps at most."""
_TOLERANCE = 1e-2
"""Of the logits' norm: what the record may change by rounding in another order. Anything frozen changes far more."""


class StepInputs(NamedTuple):
    """What differs from step to step."""

    ids: torch.Tensor
    """(rows,)"""
    positions: torch.Tensor
    """(rows,)"""
    slots: torch.Tensor
    """(rows,)"""
    last_rows: torch.Tensor
    """Rows whose logits are wanted; at least one, since not every module takes none."""


Forward = Callable[[StepInputs], torch.Tensor]
"""Logits (last_rows, vocabulary)."""


def forward(model: PreTrainedModel, inputs: StepInputs, cells: Cells) -> torch.Tensor:
    """One step through transformers' modules."""
    with torch.inference_mode(), attending(cells):
        return model(
            input_ids=inputs.ids[None],
            position_ids=inputs.positions[None],
            use_cache=False,
            logits_to_keep=inputs.last_rows,
        ).logits[0]


class _Step(nn.Module):
    """The model with the engine's cache, as a function of tensors alone."""

    def __init__(self, model: PreTrainedModel, cache: KvCache) -> None:
        super().__init__()
        self.model = model
        self._cache = cache

    def forward(
        self, ids: torch.Tensor, positions: torch.Tensor, slots: torch.Tensor, last_rows: torch.Tensor
    ) -> torch.Tensor:
        inputs = StepInputs(ids, positions, slots, last_rows)
        return forward(self.model, inputs, Cells(self._cache, slots, positions))


def traced(model: PreTrainedModel, cache: KvCache, vocabulary: int) -> Forward | None:
    """A record of the model's step over `cache`; None where there can be none, which the log explains.

    What the first slots of the cache held is written over.
    """
    reason = _reason_against(model, cache)
    if reason is None:
        try:
            return _recorded(_Step(model, cache).eval(), cache.slots, vocabulary)
        except _FrozenError as error:
            reason = str(error)
        except Exception as error:  # noqa: BLE001 - whatever tracing meets, the modules themselves still work
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
    _log.info("steps go through transformers' modules: %s", reason)
    return None


class _FrozenError(Exception):
    """The record computes something else than the modules."""


def _reason_against(model: PreTrainedModel, cache: KvCache) -> str | None:
    if not kernels.available() or model.device.type != "cpu":
        return "only steps by the CPU kernels are recorded"
    if getattr(model, "is_quantized", False):
        return "quantized weights take other ways for other numbers of rows"
    if cache.context < _CONTEXT:
        return f"sequences are shorter than {_CONTEXT} tokens"
    return None


def _recorded(step: _Step, slots: int, vocabulary: int) -> Forward:
    numbers = random.Random(0)
    example = _inputs(_RECORDED, slots, vocabulary, numbers)
    with torch.inference_mode():
        step(*example)  # makes the cache, which the record has to find
        with warnings.catch_warnings():
            # of what is frozen, which is looked for below, and of TorchScript's age
            warnings.simplefilter("ignore")
            record = torch.jit.trace(step, tuple(example), check_trace=False, strict=False)
            assert isinstance(record, torch.jit.ScriptModule)
            record = fused(record)
        for sequences in _COMPARED:
            inputs = _inputs(sequences, slots, vocabulary, numbers)
            ours, exact = record(*inputs).float(), step(*inputs).float()
            difference = float((ours - exact).norm() / exact.norm())
            if not difference <= _TOLERANCE:
                raise _FrozenError(
                    f"a recorded step gives other logits than they do (relative difference {difference:.2g})"
                )

    def run(inputs: StepInputs) -> torch.Tensor:
        with torch.inference_mode():
            return record(*inputs)

    return run


def _inputs(
    sequences: Sequence[tuple[int, int, int]], slot_count: int, vocabulary: int, numbers: random.Random
) -> StepInputs:
    there = [sequence for sequence in sequences if sequence[0] < slot_count]
    slots = [slot for slot, _, rows in there for _ in range(rows)]
    positions = [first + row for _, first, rows in there for row in range(rows)]
    ids = [numbers.randrange(vocabulary // 4, 3 * vocabulary // 4) for _ in slots]
    last_rows = [rows - 1 for rows in itertools.accumulate(rows for _, _, rows in there)]
    return StepInputs(torch.tensor(ids), torch.tensor(positions), torch.tensor(slots), torch.tensor(last_rows))
