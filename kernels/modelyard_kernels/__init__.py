"""Operators `torch.ops.modelyard.*`, registered by the import of this package.

A package of its own, compiled where it is installed: the engine runs without it, with PyTorch's own operators. It knows
nothing of the engine and imports nothing of ours; `serving/engines/transformers_engine/kernels.py` alone imports it.

The import works on every x86-64 CPU; `instruction_set()` is empty on one that the kernels are not made for.
"""

from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import torch

torch.ops.load_library(str(Path(__file__).with_name(f"_native{EXTENSION_SUFFIXES[0]}")))


def instruction_set() -> str:
    """Whose kernels this CPU runs: `avx512_bf16`, `avx512`, `avx2`, or nothing."""
    return torch.ops.modelyard.instruction_set()
