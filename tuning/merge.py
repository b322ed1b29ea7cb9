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
from typing import Any, get_args

from presets.serve_config import Dtype
from presets.weights_source import parse_weights_source
from serving.errors import StartupFailure
from serving.weights import ensure
from tuning.errors import TuningError


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
    if output.exists() and any(output.iterdir()):
        raise TuningError("OutputNotEmpty", f"{output} has files already: remove them, or name another directory")
    try:
        rank = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8")).get("r")
    except (OSError, ValueError) as error:
        raise TuningError(
            "AdapterUnreadable", f"{adapter} has no adapter_config.json that can be read ({error}): correct the path"
        ) from error
    source = parse_weights_source(weights)
    resolved = ensure(source)
    import torch
    from peft import PeftModel
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base: Any = AutoModelForCausalLM.from_pretrained(resolved.path, dtype=torch.float32, local_files_only=True)
    try:
        merged: Any = PeftModel.from_pretrained(base, str(adapter)).merge_and_unload(safe_merge=True)
    except (RuntimeError, ValueError, OSError) as error:
        raise TuningError(
            "AdapterUnfit", f"the adapter of rank {rank} in {adapter} does not fit {source} ({str(error)[:300]})"
        ) from error
    making = output.with_name(f"{output.name}.partial")
    shutil.rmtree(making, ignore_errors=True)
    try:
        # Sums are made in float32 and rounded once.
        merged.to(getattr(torch, dtype)).save_pretrained(making)
        AutoTokenizer.from_pretrained(resolved.path, local_files_only=True).save_pretrained(making)
        AutoModelForCausalLM.from_pretrained(making, local_files_only=True)
        shutil.rmtree(output, ignore_errors=True)
        making.rename(output)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(making, ignore_errors=True)
        raise TuningError(
            "OutputNotWritable", f"{output} cannot be written ({error}): free space, or its mode"
        ) from error


if __name__ == "__main__":
    sys.exit(main())
