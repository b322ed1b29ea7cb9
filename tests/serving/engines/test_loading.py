"""What cannot be served is refused at the start, with a reason and a way out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    BertConfig,
    BloomConfig,
    FalconConfig,
    Gemma3nTextConfig,
    LlamaConfig,
    MambaConfig,
    Phi3Config,
    PreTrainedConfig,
    T5Config,
)

from serving.engines.transformers_engine.engine import TransformersEngine
from serving.engines.transformers_engine.loading import load_model, refuse_unsupported
from serving.engines.transformers_engine.warmup import warm_up
from serving.errors import StartupFailure
from tests.serving.engines.conftest import BuildEngine
from tests.serving.engines.tiny_models import CONTEXT, save

LONGROPE = {"rope_type": "longrope", "short_factor": [1.0] * 48, "long_factor": [2.0] * 48, "rope_theta": 1e4}


def load(model_dir: Path, max_context: int = 64) -> TransformersEngine:
    model = load_model(
        model_dir, dtype="float32", device=torch.device("cpu"), max_context=max_context, trust_remote_code=False
    )
    return TransformersEngine(model, max_sequences=2, max_context=max_context)


@pytest.mark.parametrize(
    ("config", "reason", "message"),
    [
        (T5Config(), "UnsupportedArchitecture", "t5 is an encoder-decoder"),
        (MambaConfig(), "UnsupportedArchitecture", "mamba has layers of type linear_attention"),
        (Gemma3nTextConfig(), "UnsupportedArchitecture", "gemma3n_text has layers that share their keys"),
        (LlamaConfig(max_position_embeddings=50), "ContextTooLong", "set max_context to at most 50"),
        (
            Phi3Config(original_max_position_embeddings=50, rope_parameters=LONGROPE),
            "ContextTooLong",
            "set max_context to at most 50",
        ),
    ],
)
def test_a_config_tells_what_cannot_run(config: PreTrainedConfig, reason: str, message: str) -> None:
    with pytest.raises(StartupFailure, match=message) as caught:
        refuse_unsupported(config, max_context=51)
    assert caught.value.reason == reason


def test_longrope_runs_within_its_first_set_of_factors() -> None:
    refuse_unsupported(Phi3Config(original_max_position_embeddings=50, rope_parameters=LONGROPE), max_context=50)


@pytest.mark.parametrize(
    "config",
    [
        BloomConfig(vocab_size=199, hidden_size=64, n_layer=2, n_head=4, initializer_range=0.2),
        FalconConfig(vocab_size=199, hidden_size=64, num_hidden_layers=2, num_attention_heads=4),
        BertConfig(
            vocab_size=199,
            hidden_size=64,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            initializer_range=0.2,
        ),
    ],
    ids=["attention of its own", "attention chosen by name", "attention to what comes after"],
)
def test_a_model_that_the_engine_would_run_wrongly_is_refused(config: PreTrainedConfig, tmp_path: Path) -> None:
    with pytest.raises(StartupFailure) as caught:
        warm_up(load(save(config, tmp_path)))
    assert caught.value.reason == "UnsupportedArchitecture"


def test_a_model_whose_logits_differ_is_refused(build: BuildEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = build(recorded=False)
    model: Any = engine.model
    monkeypatch.setattr(model.model.layers[-1].self_attn, "layer_idx", 0)  # as models do whose layers share their keys
    with pytest.raises(StartupFailure, match="gives other logits in this engine than in transformers"):
        warm_up(engine)


def test_a_cache_that_does_not_fit_is_told_with_its_size(build: BuildEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(*_: object) -> torch.Tensor:
        raise MemoryError("Unable to allocate 3 TiB")

    engine = build(max_sequences=3, max_context=77, recorded=False)
    monkeypatch.setattr(engine.cache, "_zeros", no_memory)
    with pytest.raises(StartupFailure, match="cache of 3 sequences of 77 tokens does not fit") as caught:
        warm_up(engine)
    assert caught.value.reason == "OutOfMemory"


def test_a_model_that_keeps_its_sliding_window_to_itself_is_refused(build: BuildEngine) -> None:
    engine = build("gemma2", recorded=False)
    model: Any = engine.model
    model.model.layers[0].self_attn.sliding_window = None
    with pytest.raises(StartupFailure, match="sliding window of its layer 0"):
        warm_up(engine)


def test_a_directory_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StartupFailure, match=r"has no config\.json") as caught:
        load(tmp_path / "nothing")
    assert caught.value.reason == "WeightsNotFound"


def test_an_unknown_architecture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "telepathy"}))
    with pytest.raises(StartupFailure, match="telepathy") as caught:
        load(tmp_path)
    assert caught.value.reason == "UnsupportedArchitecture"


@pytest.fixture
def llama_copy(tiny_dir: Callable[[str], Path], tmp_path: Path) -> Path:
    for file in tiny_dir("llama").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


def test_missing_weights_are_refused(llama_copy: Path) -> None:
    (llama_copy / "model.safetensors").unlink()
    with pytest.raises(StartupFailure) as caught:
        load(llama_copy)
    assert caught.value.reason == "WeightsNotFound"


def test_a_truncated_file_is_refused(llama_copy: Path) -> None:
    file = llama_copy / "model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(StartupFailure, match="fetch the weights again") as caught:
        load(llama_copy)
    assert caught.value.reason == "WeightsCorrupt"


def test_a_tensor_that_is_missing_is_not_replaced_by_random_numbers(llama_copy: Path) -> None:
    file = llama_copy / "model.safetensors"
    tensors = load_file(file)
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(StartupFailure, match=r"model\.layers\.1\.mlp\.up_proj\.weight") as caught:
        load(llama_copy)
    assert caught.value.reason == "WeightsCorrupt"


def test_a_tensor_of_another_shape_is_refused(llama_copy: Path) -> None:
    config = json.loads((llama_copy / "config.json").read_text())
    (llama_copy / "config.json").write_text(json.dumps(config | {"vocab_size": 77}))
    with pytest.raises(StartupFailure) as caught:
        load(llama_copy)
    assert caught.value.reason == "WeightsCorrupt"


def test_a_failure_stands_on_one_line(llama_copy: Path) -> None:
    with pytest.raises(StartupFailure) as caught:
        load(llama_copy, max_context=CONTEXT + 1)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("[ContextTooLong] ")
