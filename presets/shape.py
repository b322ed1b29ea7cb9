"""The architecture of a decoder, as far as memory and parallelism follow from it: sizes, and its layers by kind."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from presets.facts import Fact, as_tuple

LayerKind = Literal["full", "sliding", "mla", "linear", "shared", "feed_forward"]
"""full: attention over the whole context. sliding: over the last `window` tokens. mla: multi-head latent attention,
whose cache is one compressed vector a token. linear: linear attention or state-space, with a state of fixed size
instead of a cache. shared: attention that reads the cache of an earlier layer. feed_forward: no attention at all, as
the MLP and expert layers of hybrid models that count them apart."""

_NEEDED: dict[LayerKind, tuple[str, ...]] = {
    "sliding": ("window",),
    "mla": ("kv_lora_rank", "qk_rope_head_dim"),
    "linear": ("state_bytes",),
}


class LayerGroup(Fact):
    """Layers of one kind; their order in the model makes no difference to memory."""

    kind: LayerKind
    count: int = Field(ge=1)
    window: int | None = Field(default=None, ge=1)
    """Tokens that a sliding layer looks back, itself included."""
    kv_heads: int | None = Field(default=None, ge=1)
    """Where they differ from the shape's."""
    head_dim: int | None = Field(default=None, ge=1)
    """Where it differs from the shape's."""
    kv_lora_rank: int | None = Field(default=None, ge=1)
    q_lora_rank: int | None = Field(default=None, ge=1)
    qk_rope_head_dim: int | None = Field(default=None, ge=1)
    qk_nope_head_dim: int | None = Field(default=None, ge=1)
    v_head_dim: int | None = Field(default=None, ge=1)
    state_bytes: int | None = Field(default=None, ge=0)
    """Of one sequence in one linear layer, in the type that engines keep it in: recurrent state and convolution."""
    compression: int = Field(default=1, ge=1)
    """Tokens that share one entry of an mla layer's cache."""
    index_bytes: int = Field(default=0, ge=0)
    """Of one token in one layer: keys of a sparse-attention indexer, kept beside the cache."""

    @model_validator(mode="after")
    def _has_what_its_kind_needs(self) -> Self:
        for field in _NEEDED.get(self.kind, ()):
            if getattr(self, field) is None:
                raise ValueError(f"a layer of kind {self.kind} needs {field}")
        return self


def _groups(layers: object) -> object:
    """A number means that many layers of full attention."""
    if isinstance(layers, int):
        return ({"kind": "full", "count": layers},)
    return as_tuple(layers)


class ModelShape(Fact):
    """Sizes of a decoder; fields as in its config.json."""

    layers: Annotated[tuple[LayerGroup, ...], BeforeValidator(_groups), Field(min_length=1)]
    """A number where all layers have full attention; otherwise groups by kind."""
    hidden_size: int = Field(ge=1)
    intermediate_size: int = Field(ge=1)
    """Inner width of a feed-forward layer; in a mixture of experts that of the experts which one token passes,
    together, shared ones included."""
    heads: int = Field(ge=1)
    kv_heads: int = Field(ge=1)
    head_dim: int = Field(ge=1)
    vocab_size: int = Field(ge=1)
    tied_embeddings: bool
    """True if the output layer shares the weights of the input embedding."""
    experts: int = Field(default=0, ge=0)
    """Routed experts of a layer; 0: a dense model."""

    @model_validator(mode="after")
    def _groups_are_even(self) -> Self:
        if self.heads % self.kv_heads:
            raise ValueError(f"{self.heads} heads cannot share {self.kv_heads} kv_heads evenly")
        return self

    @property
    def layer_count(self) -> int:
        """Layers of all kinds.

        >>> sizes = dict(hidden_size=8, intermediate_size=8, heads=1, kv_heads=1, head_dim=8, vocab_size=9)
        >>> ModelShape(layers=3, tied_embeddings=True, **sizes).layer_count
        3
        """
        return sum(group.count for group in self.layers)

    @property
    def is_sparse(self) -> bool:
        """Whether attention looks at tokens that an indexer chooses, or at compressed ones."""
        return any(group.index_bytes or group.compression > 1 for group in self.layers)

    @property
    def embedding_parameters(self) -> int:
        """Of the input embedding, and of the output layer where it has weights of its own; never quantized."""
        return self.vocab_size * self.hidden_size * (1 if self.tied_embeddings else 2)
