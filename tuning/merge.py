"""python -m tuning.merge --weights SOURCE --adapter DIRECTORY --output DIRECTORY [--dtype TYPE]

Makes a whole model of a model and an adapter: safetensors with config and tokenizer, which loads like any other
directory of weights. Exit status: 0 done, 1 not made, with the reason on standard error.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from presets.serve_config import Dtype
from presets.weights_source import parse_weights_source
from serving.errors import StartupFailure
from serving.weights import ensure
from tuning.errors import TuningError

if TYPE_CHECKING:  # seconds of imports, which a wrong argument need not wait for
    from peft import PeftModel


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tuning.merge", description="Make a whole model of an adapter.")
    parser.add_argument("--weights", required=True, help="source of the model, such as hf:ORG/MODEL or file:/DIRECTORY")
    parser.add_argument("--adapter", required=True, type=Path, help="directory with the adapter's two files")
    parser.add_argument("--output", required=True, type=Path, help="directory to be made")
    parser.add_argument("--dtype", choices=get_args(Dtype), default="bfloat16", help="of the weights that are written")
    options = parser.parse_args(arguments)
    try:
        merge(options.weights, options.adapter, options.output, options.dtype)
    except (TuningError, StartupFailure) as error:
        sys.stderr.write(f"{error.reason}: {error.message}\n")
        return 1
    except ValueError as error:
        sys.stderr.write(f"BadSource: {error}\n")
        return 1
    sys.stdout.write(f"{options.output} is a model; serve it by presetOptions: {{weights: file:{options.output}}}\n")
    return 0


def merge(weights: str, adapter: Path, output: Path, dtype: Dtype) -> None:
    """Raises TuningError and WeightsError; ValueError for a source that is none. Nothing half made is left."""
    if output.exists() and not output.is_dir():
        raise TuningError("OutputNotEmpty", f"{output} is a file: name a directory that is to be made")
    if output.exists() and any(output.iterdir()):
        raise TuningError("OutputNotEmpty", f"{output} has files already: remove them, or name another directory")
    source = parse_weights_source(weights)
    rank = _rank_of(adapter)
    resolved = ensure(source)
    import torch
    from peft import PeftModel
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    try:
        base: Any = AutoModelForCausalLM.from_pretrained(resolved.path, dtype=torch.float32, local_files_only=True)
        tokenizer = AutoTokenizer.from_pretrained(resolved.path, local_files_only=True)
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        raise TuningError("WeightsCorrupt", f"{source} cannot be loaded ({str(error)[:300]})") from error
    try:
        adapted = PeftModel.from_pretrained(base, str(adapter))
        _must_fit(adapted, adapter)
        merged: Any = adapted.merge_and_unload(safe_merge=True)
    except (RuntimeError, ValueError, OSError, TypeError, SafetensorError) as error:
        raise TuningError(
            "AdapterUnfit", f"the adapter of rank {rank} in {adapter} does not fit {source} ({str(error)[:300]})"
        ) from error
    making = output.with_name(f"{output.name}.partial")
    shutil.rmtree(making, ignore_errors=True)
    try:
        # Sums are made in float32 and rounded once.
        merged.to(getattr(torch, dtype)).save_pretrained(making)
        tokenizer.save_pretrained(making)
        _must_load(making)
        shutil.rmtree(output, ignore_errors=True)
        making.rename(output)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(making, ignore_errors=True)
        raise TuningError(
            "OutputNotWritable", f"{output} cannot be written ({error}): free space, or its mode"
        ) from error


def _rank_of(adapter: Path) -> int | None:
    from tuning.training.trained import ADAPTER_FILES

    config, weights = (adapter / name for name in ADAPTER_FILES)
    if not weights.is_file():  # peft would ask the hub for it
        raise TuningError("AdapterUnreadable", f"{adapter} has no {weights.name}: correct the path")
    try:
        return json.loads(config.read_text(encoding="utf-8")).get("r")
    except (OSError, ValueError, AttributeError) as error:
        raise TuningError(
            "AdapterUnreadable", f"{adapter} has no {config.name} that can be read ({error}): correct the path"
        ) from error


def _must_fit(adapted: PeftModel, adapter: Path) -> None:
    """Raises ValueError where layers of the adapter are not in the model, or the other way round: peft only warns."""
    from peft import get_peft_model_state_dict
    from safetensors import safe_open

    from tuning.training.trained import ADAPTER_FILES

    wanted = set(get_peft_model_state_dict(adapted, save_embedding_layers=False))
    with safe_open(adapter / ADAPTER_FILES[1], "pt") as file:
        there = set(file.keys())
    other = sorted((wanted - there) | {name for name in there - wanted if "lora_" in name})
    if other:
        raise ValueError(f"{len(other)} tensors are in one and not in the other, {other[0]} among them")


def _must_load(directory: Path) -> None:
    """Raises TuningError where a tensor of the model is in none of the files: transformers would make it up."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    AutoTokenizer.from_pretrained(directory, local_files_only=True)
    loaded: Any = AutoModelForCausalLM.from_pretrained(directory, local_files_only=True, output_loading_info=True)
    missing = sorted(loaded[1].get("missing_keys", ()))
    if missing:
        raise TuningError(
            "MergeIncomplete", f"{len(missing)} tensors are missing in what was written, {missing[0]} among them"
        )


if __name__ == "__main__":
    sys.exit(main())
