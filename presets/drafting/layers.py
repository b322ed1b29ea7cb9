"""A decoder's layers by kind, and what one sequence keeps in each, read from its config.json."""

from __future__ import annotations

from collections import Counter
from itertools import repeat

from presets.drafting.fields import DraftError, Fields
from presets.shape import LayerGroup, LayerKind

_PATTERN: dict[str, LayerKind] = {"M": "linear", "*": "full", "-": "feed_forward", "E": "feed_forward"}
"""Letters of Nemotron-H's hybrid_override_pattern."""

_NAMES: dict[str, LayerKind] = {
    "full_attention": "full",
    "attention": "full",
    "global_attention": "full",
    "indexed_attention": "full",
    "deepseek_sparse_attention": "full",
    "sliding_attention": "sliding",
    "chunked_attention": "sliding",
    "local_attention": "sliding",
    "linear_attention": "linear",
    "mamba": "linear",
    "mamba2": "linear",
    "conv": "linear",
    "mlp": "feed_forward",
    "moe": "feed_forward",
}
"""Values of layer_types and layers_block_type; transformers 5.23, configuration_utils.py, ALLOWED_LAYER_TYPES."""

_SHARED: LayerKind = "shared"

_STATE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


def layer_groups(fields: Fields, layers: int, notes: list[str]) -> tuple[LayerGroup, ...]:
    """The layers by kind, full attention first; adds to `notes` what is counted too high or too low.

    Raises DraftError where a kind's cache does not follow from the config.
    """
    kinds = _kinds(fields, layers, notes)
    shared = min(fields.whole("num_kv_shared_layers") or 0, len(kinds) - 1)
    kinds[len(kinds) - shared :] = repeat(_SHARED, shared)
    if "linear" not in kinds and not notes and _mamba2(fields) is not None:
        notes.append("Its layers are counted as attention alone: a state-space part of theirs comes on top.")
    counted = sorted(Counter(kinds).items(), key=lambda item: item[0] != "full")
    return tuple(_group(fields, kind, count) for kind, count in counted)


def _kinds(fields: Fields, layers: int, notes: list[str]) -> list[LayerKind]:
    if pattern := fields.string("hybrid_override_pattern"):
        unknown = sorted(set(pattern) - set(_PATTERN))
        if unknown:
            raise DraftError(
                f"hybrid_override_pattern has {', '.join(unknown)}, known are {' '.join(_PATTERN)}; write its entry by "
                "hand"
            )
        return [_PATTERN[letter] for letter in pattern]
    field, names = _names(fields)
    if names:
        require_all_listed(field, len(names), layers)
        # Some repositories list the layers of a multi-token prediction head behind those of the model.
        return [_kind(name, notes) for name in names[:layers]]
    return _by_rule(fields, layers)


def require_all_listed(field: str, listed: int, layers: int | None) -> None:
    """Raises DraftError if a list of the layers is shorter than their number: those left out would take no memory."""
    if layers is not None and listed < layers:
        raise DraftError(
            f"its config.json contradicts itself: {field} lists {listed} layers of {layers} (num_hidden_layers); "
            "download it again, or correct it"
        )


def _names(fields: Fields) -> tuple[str, list[str]]:
    """The kinds of the layers, and which field lists them; empty where none does."""
    if ratios := fields.items("compress_ratios"):
        kinds = ["compressed_sparse_attention" if ratio else "sliding_attention" for ratio in ratios]
        return "compress_ratios", kinds
    for name in ("layer_types", "layers_block_type"):
        if values := [value for value in fields.items(name) if isinstance(value, str)]:
            return name, values
    return "", []


def _kind(name: str, notes: list[str]) -> LayerKind:
    if name in _NAMES:
        return _NAMES[name]
    note = f"Layers of type {name} are counted as full attention, which is at least what their cache takes."
    if name.startswith("hybrid"):
        note = f"Layers of type {name} are counted as attention alone: the state beside it comes on top."
    if note not in notes:
        notes.append(note)
    return "sliding" if name == "hybrid_sliding" else "full"


def _by_rule(fields: Fields, layers: int) -> list[LayerKind]:
    """Where the layers are not listed, in the words of the family."""
    full = _full_among_linear(fields, layers)
    if full is not None:
        return ["full" if index in full else "linear" for index in range(layers)]
    if fields.whole("attention_chunk_size") and (rope := fields.items("no_rope_layers")):
        require_all_listed("no_rope_layers", len(rope), layers)
        return ["sliding" if has_rope else "full" for has_rope in rope[:layers]]
    window = fields.whole("sliding_window")
    if window is None or fields.flag("use_sliding_window") is False:
        return ["full"] * layers
    if (first := fields.whole("max_window_layers")) is not None and fields.flag("use_sliding_window"):
        return ["sliding" if index >= first else "full" for index in range(layers)]
    if letters := fields.string("sliding_window_pattern"):
        return ["sliding" if letters[index % len(letters)] == "L" else "full" for index in range(layers)]
    every = fields.whole("sliding_window_pattern", "_sliding_window_pattern")
    return ["sliding" if every is None or (index + 1) % every else "full" for index in range(layers)]


def _full_among_linear(fields: Fields, layers: int) -> set[int] | None:
    """Indices of the attention layers of a hybrid model; None: it is none."""
    kimi = fields.inner("linear_attn_config")
    if kimi.has("full_attn_layers"):
        return {index - 1 for index in kimi.items("full_attn_layers") if isinstance(index, int)}
    if types := fields.items("attn_type_list"):
        return {index for index, kind in enumerate(types) if kind == 1}
    for name in ("full_attn_idxs", "attn_layer_indices"):
        if fields.has(name):
            return {index for index in fields.items(name) if isinstance(index, int)}
    if every := fields.whole("full_attention_interval"):
        return {index for index in range(layers) if (index + 1) % every == 0}
    if every := fields.whole("attn_layer_period"):
        return {index for index in range(layers) if index % every == (fields.whole("attn_layer_offset") or 0)}
    return None


def _group(fields: Fields, kind: LayerKind, count: int) -> LayerGroup:
    match kind:
        case "sliding":
            window = fields.whole("sliding_window", "attention_chunk_size")
            if window is None:
                raise DraftError(
                    "some of its layers have sliding-window attention, but its config.json has no sliding_window"
                )
            return LayerGroup(kind=kind, count=count, window=window)
        case "linear":
            return LayerGroup(kind=kind, count=count, state_bytes=_state_bytes(fields))
        case "full" if fields.model_type == "deepseek_v4":
            # One vector of head_dim a token, key and value at once, a part of it with position.
            rotary = fields.whole("qk_rope_head_dim") or 64
            return LayerGroup(
                kind="mla",
                count=count,
                kv_lora_rank=(fields.whole("head_dim") or 512) - rotary,
                q_lora_rank=fields.whole("q_lora_rank"),
                qk_rope_head_dim=rotary,
            )
        case "full" if (rank := fields.whole("kv_lora_rank")) is not None:
            return LayerGroup(
                kind="mla",
                count=count,
                kv_lora_rank=rank,
                q_lora_rank=fields.whole("q_lora_rank"),
                qk_rope_head_dim=fields.whole("qk_rope_head_dim"),
                qk_nope_head_dim=fields.whole("qk_nope_head_dim"),
                v_head_dim=fields.whole("v_head_dim"),
                index_bytes=_index_bytes(fields),
            )
        case "full":
            return LayerGroup(
                kind=kind,
                count=count,
                head_dim=fields.whole("global_head_dim"),
                kv_heads=fields.whole("num_global_key_value_heads") if fields.flag("attention_k_eq_v") else None,
                index_bytes=_index_bytes(fields),
            )
        case _:
            return LayerGroup(kind=kind, count=count)


def _index_bytes(fields: Fields) -> int:
    """Of one token's key for the indexer of sparse attention: fp8, with a float32 scale for each 128 numbers.

    Source: vLLM, DeepseekV32IndexerCache.
    """
    size = fields.whole("index_head_dim") or 0
    return size + 4 * -(-size // 128)


def _state_bytes(fields: Fields) -> int:
    """Of one sequence in one layer: the recurrent state, float32 unless the config says otherwise, and the last inputs
    of the convolution in 16 bits, as many as its kernel is wide: transformers keeps them all, vLLM one less.

    Sources: Mamba, arXiv 2312.00752; Mamba-2, arXiv 2405.21060; gated delta networks, arXiv 2412.06464; Kimi Linear,
    arXiv 2510.26692; vLLM, MambaStateShapeCalculator.
    """
    each = _STATE_BYTES.get(fields.string("mamba_ssm_cache_dtype") or fields.string("mamba_ssm_dtype"), 4)
    for rule in (_delta_net, _kimi_delta, _mamba2, _mamba, _short_convolution, _lightning):
        if (numbers := rule(fields)) is not None:
            recurrent, convolution = numbers
            return recurrent * each + convolution * 2
    raise DraftError(
        "some of its layers have linear attention or a state space, and its config.json does not say in fields that "
        "are known here how large their state is; write its entry by hand, with state_bytes"
    )


def _delta_net(fields: Fields) -> tuple[int, int] | None:
    """Numbers in the recurrent state and in the convolution's, as in the rules below."""
    heads, value = fields.whole("linear_num_value_heads"), fields.whole("linear_value_head_dim")
    key_heads, key = fields.whole("linear_num_key_heads"), fields.whole("linear_key_head_dim")
    if heads is None or value is None or key_heads is None or key is None:
        return None
    kernel = fields.whole("linear_conv_kernel_dim") or 4
    return heads * key * value, (2 * key_heads * key + heads * value) * kernel


def _kimi_delta(fields: Fields) -> tuple[int, int] | None:
    inner = fields.inner("linear_attn_config")
    heads = inner.whole("num_heads") or fields.whole("linear_num_heads")
    size = inner.whole("head_dim") or fields.whole("linear_head_dim")
    if heads is None or size is None:
        return None
    kernel = inner.whole("short_conv_kernel_size") or fields.whole("linear_conv_kernel_dim") or 4
    return heads * size * size, 3 * heads * size * kernel


def _mamba2(fields: Fields) -> tuple[int, int] | None:
    heads = fields.whole("mamba_num_heads", "mamba_n_heads", "n_mamba_heads")
    state = fields.whole("ssm_state_size", "mamba_d_state")
    hidden = fields.whole("hidden_size")
    if heads is None or state is None or hidden is None:
        return None
    size = fields.whole("mamba_head_dim", "mamba_d_head", "mamba_headdim")
    size = size or (fields.whole("mamba_expand", "expand") or 2) * hidden // heads
    groups = fields.whole("n_groups", "mamba_n_groups", "mamba_ngroups") or 1
    kernel = fields.whole("conv_kernel", "mamba_d_conv") or 4
    return heads * size * state, (heads * size + 2 * groups * state) * kernel


def _mamba(fields: Fields) -> tuple[int, int] | None:
    state, hidden = fields.whole("mamba_d_state", "state_size"), fields.whole("hidden_size")
    if state is None or hidden is None:
        return None
    inner = (fields.whole("mamba_expand", "expand") or 2) * hidden
    return inner * state, inner * (fields.whole("mamba_d_conv", "conv_kernel") or 4)


def _short_convolution(fields: Fields) -> tuple[int, int] | None:
    length, hidden = fields.whole("conv_L_cache"), fields.whole("conv_dim", "hidden_size")
    return None if length is None or hidden is None else (0, hidden * length)


def _lightning(fields: Fields) -> tuple[int, int] | None:
    heads, hidden = fields.whole("num_attention_heads"), fields.whole("hidden_size")
    if heads is None or hidden is None or not fields.model_type.startswith("minimax"):
        return None
    size = fields.whole("head_dim") or hidden // heads
    return heads * size * size, 0
