"""Models of real families, small and with random weights, and what transformers itself makes of a prompt."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    GptOssConfig,
    LlamaConfig,
    MistralConfig,
    Phi3Config,
    PreTrainedConfig,
    Qwen3Config,
    Qwen3MoeConfig,
)

VOCABULARY = 199
CONTEXT = 4096
WINDOW = 24
POISON = 7
"""The token whose embedding is NaN in a poisoned model; no prompt here holds it unless it says so."""

_SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": CONTEXT,
    "initializer_range": 0.2,  # at the usual 0.02 attention hardly moves the logits, and a wrong mask would pass
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_EXPERTS: dict[str, Any] = {"num_experts_per_tok": 2, "head_dim": 16}
_YARN = {"rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": 512, "rope_theta": 10000.0}

FAMILIES: dict[str, Callable[[], PreTrainedConfig]] = {
    "llama": lambda: LlamaConfig(**_SIZES),
    "qwen3": lambda: Qwen3Config(**_SIZES, head_dim=16),
    "mistral": lambda: MistralConfig(**_SIZES, sliding_window=WINDOW),
    "phi3": lambda: Phi3Config(**_SIZES, sliding_window=WINDOW),
    "gemma2": lambda: Gemma2Config(**_SIZES, sliding_window=WINDOW, head_dim=16, query_pre_attn_scalar=16),
    "qwen3_moe": lambda: Qwen3MoeConfig(**_SIZES, **_EXPERTS, num_experts=4, moe_intermediate_size=32),
    "gpt_oss": lambda: GptOssConfig(
        **_SIZES, **_EXPERTS, num_local_experts=4, sliding_window=WINDOW, rope_parameters=_YARN
    ),
}


def save(config: PreTrainedConfig, directory: Path, *, poisoned: bool = False) -> Path:
    """Write a random model of `config` as float32 safetensors; `poisoned`: the model must not tie its embeddings."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    if poisoned:
        with torch.no_grad():
            model.get_input_embeddings().weight[POISON] = torch.nan
            model.get_output_embeddings().weight[POISON] = 0  # never the highest, so nobody else meets it
    model.save_pretrained(directory)
    return directory


def prompt(length: int, seed: int = 0) -> tuple[int, ...]:
    """Token ids without the poisoned one and the special ones."""
    numbers = random.Random(f"{length}/{seed}")
    return tuple(numbers.randrange(POISON + 1, VOCABULARY) for _ in range(length))


class Reference:
    """transformers' own greedy generation, one prompt at a time."""

    def __init__(self, directory: Path) -> None:
        # eager is the one implementation that every family has, gemma2's bounded scores included
        self._model: Any = AutoModelForCausalLM.from_pretrained(
            directory, dtype=torch.float32, attn_implementation="eager"
        )
        self._model.eval()

    def generate(self, prompt_ids: tuple[int, ...], new_tokens: int) -> tuple[int, ...]:
        ids = torch.tensor([prompt_ids])
        with torch.inference_mode():
            output = self._model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=new_tokens,
                min_new_tokens=new_tokens,
                do_sample=False,
                eos_token_id=None,
            )
        return tuple(output[0, len(prompt_ids) :].tolist())

    def logprobs(self, token_ids: tuple[int, ...]) -> torch.Tensor:
        """Log probabilities (tokens, vocabulary) of what follows each of the tokens, in one forward."""
        with torch.inference_mode():
            return self._model(torch.tensor([token_ids])).logits[0].float().log_softmax(dim=-1)
