"""How many numbers a LoRA adapter has: two thin matrices beside each projection that it changes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from presets.shape import LayerGroup, ModelShape

QUERY_KEY_VALUE_TARGETS = frozenset({"q_proj", "k_proj", "v_proj", "qkv_proj"})
LATENT_TARGETS = frozenset({"q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj"})
"""Of multi-head latent attention: down to the compressed vector (a) and up again to the heads (b)."""
GATE_UP_TARGETS = frozenset({"gate_proj", "up_proj", "gate_up_proj"})
FEED_FORWARD_TARGETS = GATE_UP_TARGETS | {"down_proj"}
KNOWN_TARGETS = QUERY_KEY_VALUE_TARGETS | LATENT_TARGETS | FEED_FORWARD_TARGETS | {"o_proj"}
"""Projections whose size follows from a shape, as the modules of transformers' layers are called."""


def projection(shape: ModelShape, group: LayerGroup, target: str) -> tuple[int, int] | None:
    """Features in and out of `target` in one layer of `group`; None if such a layer has no projection of that name.

    qkv_proj and gate_up_proj are what Phi-3 makes of three and two projections. Layers of kind shared have no keys and
    values of their own. Raises ValueError for an unknown target, for feed-forward targets of a mixture of experts,
    whose experts are no linear layers in transformers, and where the shape lacks a size.
    Sources: LoRA, arXiv 2106.09685; MLA's projections, arXiv 2405.04434, section 2.1.

    >>> from presets.catalog import find_preset
    >>> phi = find_preset("phi-3-mini-4k-instruct").shape
    >>> projection(phi, phi.layers[0], "qkv_proj"), projection(phi, phi.layers[0], "q_a_proj")
    ((3072, 9216), None)
    """
    if target not in KNOWN_TARGETS:
        raise ValueError(f"{target!r} is no projection that adapters are known for; known: {_listed(KNOWN_TARGETS)}")
    if target in FEED_FORWARD_TARGETS:
        return _feed_forward(shape, group, target)
    if group.kind == "mla":
        return _latent(shape, group, target)
    if group.kind in ("linear", "feed_forward") or target in LATENT_TARGETS:
        return None
    if group.kind == "shared" and target in ("k_proj", "v_proj", "qkv_proj"):
        return None
    head_dim = group.head_dim or shape.head_dim
    query, key = shape.heads * head_dim, (group.kv_heads or shape.kv_heads) * head_dim
    if target == "o_proj":
        return query, shape.hidden_size
    outputs = {"q_proj": query, "k_proj": key, "v_proj": key, "qkv_proj": query + 2 * key}
    return shape.hidden_size, outputs[target]


def projections(shape: ModelShape, targets: Iterable[str]) -> Iterator[tuple[LayerGroup, str, int, int]]:
    """Group, target, features in and out of each projection that an adapter on `targets` changes in a layer.

    One entry a group and target: it stands for `group.count` layers. Raises ValueError as projection does, and for a
    target that no layer has.
    """
    for target in sorted(set(targets)):
        found = [(group, sizes) for group in shape.layers if (sizes := projection(shape, group, target))]
        if not found:
            kinds = _listed({group.kind for group in shape.layers})
            raise ValueError(f"no layer has a {target}: the model's layers are of kind {kinds}")
        for group, (features_in, features_out) in found:
            yield group, target, features_in, features_out


def lora_parameters(shape: ModelShape, targets: Iterable[str], rank: int) -> int:
    """Numbers of an adapter: rank * (features in + features out) for each changed projection of each layer.

    Matrices A (rank, in) and B (out, rank). Raises ValueError as projections does, and for a rank below 1.
    Source: LoRA, arXiv 2106.09685, section 4.1.

    >>> from presets.catalog import find_preset
    >>> lora_parameters(find_preset("smollm2-135m-instruct").shape, ["q_proj", "v_proj"], rank=8)
    460800
    """
    if rank < 1:
        raise ValueError(f"rank is {rank}; an adapter has rank 1 or more")
    return sum(group.count * rank * (size_in + size_out) for group, _, size_in, size_out in projections(shape, targets))


def adapter_bytes(
    shape: ModelShape, targets: Iterable[str], rank: int, bytes_per_number: int = 2, count: int = 1
) -> int:
    """Bytes of the tensors of `count` adapters; bytes_per_number: 2 for bfloat16, 4 for the float32 that peft saves.

    Raises ValueError as lora_parameters does, and for a count below 0.
    """
    if count < 0:
        raise ValueError(f"count is {count}; there are 0 adapters or more")
    return lora_parameters(shape, targets, rank) * bytes_per_number * count


def _feed_forward(shape: ModelShape, group: LayerGroup, target: str) -> tuple[int, int] | None:
    if shape.experts:
        allowed = _listed(KNOWN_TARGETS - FEED_FORWARD_TARGETS)
        raise ValueError(
            f"{target} of a mixture of {shape.experts} experts cannot be adapted: its experts are no linear layers; "
            f"choose among {allowed}"
        )
    if not has_feed_forward(shape, group):
        return None
    width = shape.intermediate_size
    if target == "down_proj":
        return width, shape.hidden_size
    return shape.hidden_size, 2 * width if target == "gate_up_proj" else width


def has_feed_forward(shape: ModelShape, group: LayerGroup) -> bool:
    """True if a layer of `group` has a feed-forward part: where a model counts those apart, no other layer has one."""
    counted_apart = any(each.kind == "feed_forward" for each in shape.layers)
    return group.kind == "feed_forward" or not counted_apart


def _latent(shape: ModelShape, group: LayerGroup, target: str) -> tuple[int, int] | None:
    """Of a layer with multi-head latent attention; q_proj is there only where the query is not compressed."""
    query, key, value = _latent_head_dims(shape, group)
    compressed, rotated = group.kv_lora_rank or 0, group.qk_rope_head_dim or 0
    rank = group.q_lora_rank
    sizes = {
        "kv_a_proj_with_mqa": (shape.hidden_size, compressed + rotated),
        "kv_b_proj": (compressed, shape.heads * (key + value)),
        "o_proj": (shape.heads * value, shape.hidden_size),
    }
    if rank:
        sizes |= {"q_a_proj": (shape.hidden_size, rank), "q_b_proj": (rank, shape.heads * query)}
    else:
        sizes["q_proj"] = (shape.hidden_size, shape.heads * query)
    return sizes.get(target)


def _latent_head_dims(shape: ModelShape, group: LayerGroup) -> tuple[int, int, int]:
    """Numbers of one head in a layer of kind mla: its query, the part of its key without position, its value.

    Raises ValueError if the shape lacks qk_nope_head_dim or v_head_dim.
    """
    if group.qk_nope_head_dim is None or group.v_head_dim is None:
        raise ValueError("adapters of layers of kind mla need qk_nope_head_dim and v_head_dim in the model's shape")
    return group.qk_nope_head_dim + (group.qk_rope_head_dim or 0), group.qk_nope_head_dim, group.v_head_dim


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
