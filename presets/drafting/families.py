"""What is usual in a family of models and stands in no config.json, by model_type of the decoder."""

from __future__ import annotations

from collections.abc import Mapping

_ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
_ALL_LINEAR = (*_ATTENTION, "gate_proj", "up_proj", "down_proj")
_FUSED = ("qkv_proj", "o_proj", "gate_up_proj", "down_proj")

_DENSE = (
    *("llama", "mistral", "ministral", "ministral3", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "granite"),
    *("smollm3", "olmo2", "olmo3", "cohere", "cohere2", "qwen2_vl", "qwen2_5_vl", "qwen2_5_vl_text", "exaone4"),
)
_EXPERTS = ("mixtral", "qwen2_moe", "qwen3_moe", "gpt_oss", "granitemoe", "glm4_moe", "minimax_m2", "llama4_text")

LORA_TARGETS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(_DENSE, _ALL_LINEAR),
    **dict.fromkeys(_EXPERTS, _ATTENTION),
    **dict.fromkeys(("phi3", "phi4mm", "phi4_multimodal"), _FUSED),
}
"""Linear layers of attention and, in dense models, of the feed-forward layers. Source: module names in modeling_*.py of
transformers 5.23; QLoRA, arXiv 2305.14314, section 4: all linear layers reach what full fine-tuning does."""

NOT_FLOAT16 = frozenset(
    {
        "gemma2",
        "gemma3",
        "gemma3_text",
        "gemma3n_text",
        "gemma4_text",
        "gemma4_unified_text",
        "glm4",
        "plamo2",
        "gpt_oss",
    }
)
"""Source: vLLM, config/model.py, _FLOAT16_NOT_SUPPORTED_MODELS; the later Gemmas are taken to be like the earlier."""

PARSERS: Mapping[str, tuple[str, str]] = {
    "qwen2": ("hermes", ""),
    "qwen3": ("hermes", "qwen3"),
    "qwen3_moe": ("hermes", "qwen3"),
    "qwen3_5_text": ("qwen3_coder", "qwen3"),
    "qwen3_5_moe_text": ("qwen3_coder", "qwen3"),
    "gpt_oss": ("openai", "openai_gptoss"),
    "mistral": ("mistral", ""),
    "mixtral": ("mistral", ""),
    "mistral4": ("mistral", "mistral"),
    "deepseek_v3": ("deepseek_v3", "deepseek_r1"),
    "deepseek_v32": ("deepseek_v32", "deepseek_v3"),
    "deepseek_v4": ("deepseek_v4", "deepseek_v4"),
    "glm_moe_dsa": ("glm47", "glm45"),
    "kimi_k2": ("kimi_k2", "kimi_k2"),
    "minimax_m2": ("minimax_m2", "minimax_m2_append_think"),
    "nemotron_h": ("qwen3_coder", "nemotron_v3"),
    "granite": ("granite4", "granite"),
    "gemma4_text": ("gemma4", "gemma4"),
}
"""Tool and reasoning parsers of vLLM; KAITO v0.12 gives the same to the models of its catalogue."""
