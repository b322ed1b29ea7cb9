"""How a model's published weights are stored, and how wide its feed-forward layers are, read from its config.json."""

from __future__ import annotations

from presets.catalog import Quantization
from presets.drafting.fields import DraftError, Fields

_EIGHT_BITS = ("fp8", "fbgemm_fp8", "finegrained_fp8")

_KNOWN = "fp8, gptq, awq, mxfp4, compressed-tensors, modelopt and bitsandbytes"


def quantization(fields: Fields, notes: list[str]) -> Quantization | None:
    """None: weights of 16 or 32 bits. Raises DraftError for a format that is not known here."""
    for name in ("quantization_config", "compression_config", "quantization"):
        if fields.has(name):
            return _quantization(fields.inner(name), fields, notes)
    return None


def _quantization(found: Fields, fields: Fields, notes: list[str]) -> Quantization | None:
    method = found.string("quant_method").lower().replace("_", "-")
    algorithm = (found.string("quant_algo") or found.string("qformat_weight")).upper()
    if method == "compressed-tensors" or found.has("config_groups"):
        return _compressed(found, notes)
    if algorithm:
        return _by_algorithm(algorithm, notes)
    if method.replace("-", "_") in _EIGHT_BITS:
        if "fp4" in fields.string("expert_dtype"):
            return Quantization(method="mixed", bits=4)
        return Quantization(method="fp8", bits=8)
    if method in ("gptq", "awq", "auto-round"):
        packing = "awq" if method == "awq" or "awq" in found.string("packing_format") else "gptq"
        return Quantization(method=packing, bits=found.whole("bits", "w_bit") or 4)
    if method == "mxfp4":
        return Quantization(method="mxfp4", bits=4)
    if method == "bitsandbytes" or found.flag("load_in_4bit") or found.flag("load_in_8bit"):
        return Quantization(method="int8", bits=8) if found.flag("load_in_8bit") else Quantization(method="nf4", bits=4)
    raise DraftError(
        f"its weights are quantized by {method or 'a method that its config.json does not name'}, known are {_KNOWN}; "
        "choose a repository with one of these, or with weights in 16 bits"
    )


def _by_algorithm(algorithm: str, notes: list[str]) -> Quantization:
    """NVIDIA ModelOpt's quant_algo, or qformat_weight of Mistral's params.json."""
    if "NVFP4" in algorithm:
        return Quantization(method="nvfp4", bits=4)
    if "MXFP4" in algorithm:
        return Quantization(method="mxfp4", bits=4)
    if "FP8" in algorithm:
        return Quantization(method="fp8", bits=8)
    if "AWQ" in algorithm:
        return Quantization(method="awq", bits=4)
    notes.append(f"Its layers are quantized in several formats ({algorithm}): most of them are taken to have 4 bits.")
    return Quantization(method="mixed", bits=4)


def _compressed(found: Fields, notes: list[str]) -> Quantization | None:
    """compressed-tensors: groups of layers, each with the type and bits of its weights."""
    groups = [group.inner("weights") for group in found.inner("config_groups").inner_maps()]
    formats = sorted({_of_group(weights, found.string("format")) for weights in groups if weights.whole("num_bits")})
    if not formats:
        return None
    if len({method for method, _ in formats}) > 1:
        listed = ", ".join(f"{method} with {bits} bits" for method, bits in formats)
        notes.append(f"Its layers are quantized in several formats: {listed}.")
        return Quantization(method="mixed", bits=min(bits for _, bits in formats))
    method, bits = formats[0]
    return Quantization(method=method, bits=bits)


def _of_group(weights: Fields, layout: str) -> tuple[str, int]:
    bits = weights.whole("num_bits") or 8
    if weights.string("type") == "float":
        four = "mxfp4" if "mxfp4" in layout or weights.whole("group_size") == 32 else "nvfp4"
        return (four, 4) if bits == 4 else ("fp8", 8)
    return ("int4", bits) if bits <= 4 else ("int8", bits)


def feed_forward(fields: Fields, hidden_size: int, notes: list[str]) -> tuple[int, int]:
    """Inner width that one token passes, and routed experts of a layer (0: a dense model)."""
    dense = fields.whole("intermediate_size", "ffn_dim", "ffn_hidden_size", "n_inner", "hidden_dim", "d_ff")
    moe = fields.inner("moe") if fields.has("moe") else fields.inner("ffn_config")
    experts = fields.whole("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
    experts = experts or moe.whole("num_experts", "moe_num_experts") or 0
    if experts < 2:
        return dense or moe.whole("ffn_hidden_size") or 4 * hidden_size, 0
    names = ("num_experts_per_tok", "num_experts_per_token", "experts_per_token", "top_k_experts", "moe_topk", "moe_k")
    chosen = fields.whole(*names) or moe.whole("num_experts_per_tok", "moe_top_k")
    if chosen is None:
        chosen = 2
        notes.append("Its config.json does not say how many experts a token passes: 2 are assumed.")
    width = fields.whole("moe_intermediate_size", "expert_ffn_hidden_size") or moe.whole("expert_hidden_dim")
    width = width or moe.whole("ffn_hidden_size") or dense or 4 * hidden_size
    return chosen * width + _shared_width(fields, width, dense or 0), experts


def _shared_width(fields: Fields, width: int, dense: int) -> int:
    """Of the experts that every token passes."""
    if fields.model_type in ("llama4_text", "gemma4_text"):
        return dense
    count = fields.whole("n_shared_experts", "num_shared_experts", "moe_num_shared_experts")
    names = ("shared_expert_intermediate_size", "moe_shared_expert_intermediate_size", "shared_intermediate_size")
    if (shared := fields.whole(*names)) is not None:
        return shared * (count or 1)
    return (count or 0) * width
