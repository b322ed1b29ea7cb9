"""Weights that bitsandbytes stores in 8 or 4 bits give what transformers makes of them, with adapters on top."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

from presets.serve_config import LoadQuantization
from serving.engines.protocol import AdapterUse
from serving.engines.transformers_engine.engine import TransformersEngine
from serving.engines.transformers_engine.loading import load_model
from serving.engines.transformers_engine.warmup import warm_up
from serving.errors import StartupFailure
from tests.serving.engines.driving import load, request, run
from tests.serving.engines.tiny_adapters import as_adapter, make_adapter
from tests.serving.engines.tiny_models import prompt

CPU = torch.device("cpu")
SETTINGS: dict[LoadQuantization, BitsAndBytesConfig] = {
    "int8": BitsAndBytesConfig(load_in_8bit=True),
    "nf4": BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float32,
    ),
}


def engine_of(model_dir: Path, quantization: LoadQuantization) -> TransformersEngine:
    model = load_model(
        model_dir, dtype="float32", device=CPU, max_context=128, trust_remote_code=False, quantization=quantization
    )
    return TransformersEngine(model, max_sequences=2, max_context=128)


def generated(model: Any, prompt_ids: tuple[int, ...]) -> tuple[int, ...]:
    ids = torch.tensor([prompt_ids])
    with torch.inference_mode():
        output = model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=8, do_sample=False, eos_token_id=None
        )
    return tuple(output[0, len(prompt_ids) :].tolist())


@pytest.mark.parametrize("quantization", SETTINGS)
def test_quantized_weights_give_what_transformers_makes_of_them(
    quantization: LoadQuantization, tiny_dir: Callable[[str], Path], tmp_path: Path
) -> None:
    model_dir = tiny_dir("llama")
    adapter = make_adapter(model_dir, tmp_path / "one")
    reference: Any = AutoModelForCausalLM.from_pretrained(
        model_dir,
        dtype=torch.float32,
        quantization_config=SETTINGS[quantization],
        device_map="cpu",
        attn_implementation="eager",
    )
    expected = {"base": generated(reference, prompt(9))}
    expected["adapted"] = generated(PeftModel.from_pretrained(reference, adapter), prompt(9))
    assert expected["base"] != expected["adapted"]

    engine = engine_of(model_dir, quantization)
    warm_up(engine)
    load(engine, as_adapter(adapter))
    asked = [
        request("base", prompt(9), 8),
        replace(request("adapted", prompt(9), 8), adapter=AdapterUse(id="one")),
    ]
    # int8 looks for outliers in all rows at once, so that neighbours change a row's last digits
    answers = [run(engine, *asked)] if quantization == "nf4" else [run(engine, one) for one in asked]
    assert {name: tokens for answer in answers for name, tokens in answer.tokens.items()} == expected


@pytest.mark.parametrize("quantization", SETTINGS)
def test_the_weights_are_smaller(quantization: LoadQuantization, tiny_dir: Callable[[str], Path]) -> None:
    def linear_bytes(model: Any) -> int:
        return model.model.layers[0].mlp.down_proj.weight.nbytes

    whole = load_model(tiny_dir("llama"), dtype="float32", device=CPU, max_context=128, trust_remote_code=False)
    quantized = load_model(
        tiny_dir("llama"),
        dtype="float32",
        device=CPU,
        max_context=128,
        trust_remote_code=False,
        quantization=quantization,
    )
    assert linear_bytes(quantized) * (4 if quantization == "int8" else 8) == linear_bytes(whole)


def test_weights_that_are_published_quantized_are_not_quantized_again(
    tiny_dir: Callable[[str], Path], tmp_path: Path
) -> None:
    model: Any = AutoModelForCausalLM.from_pretrained(
        tiny_dir("llama"), dtype=torch.float32, quantization_config=SETTINGS["nf4"], device_map="cpu"
    )
    model.save_pretrained(tmp_path)
    with pytest.raises(StartupFailure, match="published quantized"):
        load_model(tmp_path, dtype="float32", device=CPU, max_context=128, trust_remote_code=False, quantization="int8")
