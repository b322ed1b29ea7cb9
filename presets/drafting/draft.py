"""Any decoder as a preset: its facts out of config.json and the sizes of its weights. Pure; see repository_files.py."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from presets.catalog import Parsers, Preset, Repository, TuningMethod, catalog
from presets.drafting.families import LORA_TARGETS, NOT_FLOAT16, PARSERS
from presets.drafting.fields import DraftError, Fields
from presets.drafting.formats import feed_forward, quantization
from presets.drafting.layers import layer_groups, require_all_listed
from presets.lora import FEED_FORWARD_TARGETS
from presets.shape import ModelShape

__all__ = ["Draft", "DraftError", "draft"]

GIB = 2**30

UNKNOWN_LICENSE = "other"
"""A key of licenses.yaml, whose terms nobody has read."""

_LIMITS = (
    "max_position_embeddings",
    "n_ctx",
    "seq_length",
    "max_seq_len",
    "max_sequence_length",
    "model_max_length",
    "n_positions",
)
"""Where a config.json has the token limit, first that counts; KAITO v0.12 reads the same, GPT-2's n_positions aside."""

_LIMIT_IF_SILENT = 2048

_MOST_LAYERS = 10_000
"""Far more than any model has: each is looked at."""

_EMBEDDING_TASKS = ("feature-extraction", "sentence-similarity", "text-ranking")

_OTHER_HEADS = re.compile(r"For(?:SequenceClassification|TokenClassification|QuestionAnswering|MaskedLM|CTC)$|Encoder")

_MULTIMODAL = ("vision_config", "audio_config", "thinker_config", "vision_encoder", "vision_tower", "mm_vision_tower")


@dataclass(frozen=True)
class Draft:
    """A preset that nobody has looked at yet."""

    name: str
    """Proposed name of the entry."""
    preset: Preset
    notes: tuple[str, ...]
    """What was guessed or needs a look, each a sentence."""


def draft(
    repository: str,
    config: Mapping[str, Any],
    *,
    weights_bytes: int,
    parameters: int | None,
    license: str = "",
    gated: bool = False,
    revision: str = "main",
    source: str = "",
    task: str = "",
    output_layer: bool | None = None,
    chat_template: bool | None = None,
) -> Draft:
    """The entry of a model.

    config: config.json, or Mistral's params.json. weights_bytes: of its safetensors, each tensor once. parameters: None
    where only their bytes are known. source: weights source, empty for the repository itself. task: the hub's pipeline
    tag. output_layer: whether the weights hold an output layer of their own, chat_template: whether the tokenizer has
    one; None where nobody looked. Raises DraftError for what is no decoder, or one that is not understood.
    """
    notes: list[str] = []
    fields = Fields(config)
    try:
        architecture = _architecture(fields, task, notes)
        if config.get("auto_map") and architecture not in _architectures():
            raise DraftError(
                f"{architecture} needs code that comes with the model (auto_map), which is never run here; choose a "
                "model whose architecture transformers has, or write its entry by hand if the engine knows it"
            )
        shape = _shape(fields, output_layer, notes)
        stored = quantization(fields, notes)
        limit = _token_limit(fields, notes)
        if parameters is None and stored is None:
            parameters = _estimated_parameters(fields, weights_bytes, notes)
        targets = LORA_TARGETS.get(fields.model_type, ())
        if shape.experts:
            # Experts are no linear layers in transformers.
            targets = tuple(target for target in targets if target not in FEED_FORWARD_TARGETS)
        tunable = bool(targets) and stored is None and not shape.experts
        tuning: tuple[TuningMethod, ...] = ("lora", "qlora") if tunable else ()
        preset = Preset(
            repository=Repository(name=repository, revision=revision, license=_license(license, notes), gated=gated),
            weights=source,
            architecture=architecture,
            shape=shape,
            **_size(shape, weights_bytes, parameters if stored is None else None),
            quantization=stored,
            max_context=limit,
            longrope_from=_longrope_from(fields, limit),
            # The kernels for MXFP4 take activations in bfloat16 only.
            float16=fields.model_type not in NOT_FLOAT16 and (stored is None or stored.method != "mxfp4"),
            multimodal=any(fields.has(name) for name in _MULTIMODAL),
            parsers=_parsers(fields, notes),
            lora_targets=targets,
            tuning=tuning,
        )
    except DraftError as error:
        raise DraftError(f"{repository}: {error}") from None
    except ValidationError as error:
        said = "; ".join(str(problem["msg"]).removeprefix("Value error, ") for problem in error.errors())
        raise DraftError(f"{repository}: its config.json does not add up ({said}); write its entry by hand") from None
    if chat_template is False:
        notes.append(
            "Its tokenizer has no chat template: it continues text, and /v1/chat/completions needs a template."
        )
    if architecture not in _architectures():
        notes.append(f"No model of the catalogue is a {architecture}: whether the engine knows it was not checked.")
    if config.get("auto_map"):
        notes.append("It brings Python code of its own (auto_map), which is never run.")
    return Draft(name=repository.rpartition("/")[2].lower(), preset=preset, notes=tuple(notes))


@functools.cache
def _architectures() -> frozenset[str]:
    """Model classes of the catalogue, which the engines know without code of the model's own."""
    return frozenset(preset.architecture for preset in catalog().values())


def _architecture(fields: Fields, task: str, notes: list[str]) -> str:
    """Name of the model class; raises DraftError if it generates no text."""
    names = [name for name in fields.items("architectures") if isinstance(name, str)]
    if fields.has("_class_name") or fields.has("_diffusers_version"):
        raise DraftError("it is a diffusion model, which makes images; only models that generate text are served")
    if fields.flag("is_encoder_decoder"):
        raise DraftError("it has an encoder and a decoder; only decoders are served, choose one such as Qwen/Qwen3-8B")
    if task in _EMBEDDING_TASKS:
        raise DraftError(
            f"it is made for {task}, not for text; choose the model that generates text of the same family"
        )
    if names:
        name = names[0]
        no_head = name.endswith("Model") and "LMHead" not in name and "Chat" not in name
        if no_head or _OTHER_HEADS.search(name):
            raise DraftError(f"{name} generates no text; choose a repository whose architecture ends with ForCausalLM")
        return name
    if fields.whole("dim") and fields.whole("n_layers"):
        notes.append("Its shape is from params.json, Mistral's own format: the engine has to load that format.")
        if fields.has("vision_encoder"):
            return "PixtralForConditionalGeneration"
        if fields.whole("kv_lora_rank"):
            return "MistralLarge3ForCausalLM"
        return "MixtralForCausalLM" if fields.has("moe") else "MistralForCausalLM"
    raise DraftError(
        "its config.json has no architectures, so that no engine knows how to load it; is it a model at all?"
    )


def _shape(fields: Fields, output_layer: bool | None, notes: list[str]) -> ModelShape:
    layers = fields.whole("num_hidden_layers", "n_layer", "n_layers", "num_layers")
    name = "hybrid_override_pattern" if fields.string("hybrid_override_pattern") else "layers_block_type"
    if listed := fields.string(name) or fields.items(name):
        require_all_listed(name, len(listed), layers)
        layers = len(listed)
    if layers is not None and fields.model_type == "longcat_flash" and not fields.has("num_hidden_layers"):
        layers *= 2  # each of its num_layers has attention twice
    hidden = fields.whole("hidden_size", "n_embd", "d_model", "dim")
    heads = fields.whole("num_attention_heads", "n_head", "n_heads")
    vocab = fields.whole("vocab_size", "padded_vocab_size", "n_vocab")
    if layers is None or hidden is None or heads is None or vocab is None:
        sizes = {"num_hidden_layers": layers, "hidden_size": hidden, "num_attention_heads": heads, "vocab_size": vocab}
        missing = ", ".join(name for name, value in sizes.items() if value is None)
        raise DraftError(f"its config.json lacks {missing}; write its entry by hand, as docs/adding-a-model.md shows")
    if layers > _MOST_LAYERS:
        raise DraftError(f"its config.json says {layers} layers, known are at most {_MOST_LAYERS}; correct it")
    if fields.defaulted:
        said = f"leaves {', '.join(fields.defaulted)} to the defaults of {fields.model_type}"
        notes.append(f"Its config.json {said}, which were taken from transformers 5.23.")
    width, experts = feed_forward(fields, hidden, notes)
    return ModelShape(
        layers=layer_groups(fields, layers, notes),
        hidden_size=hidden,
        intermediate_size=width,
        heads=heads,
        kv_heads=_kv_heads(fields, heads),
        head_dim=_head_dim(fields, hidden, heads),
        vocab_size=vocab,
        tied_embeddings=_tied(fields, output_layer, notes),
        experts=experts,
    )


def _kv_heads(fields: Fields, heads: int) -> int:
    # Falcon-7B and GPT-BigCode share one pair of heads, whatever num_kv_heads says.
    if fields.flag("multi_query") and not fields.flag("new_decoder_architecture"):
        return 1
    names = ("num_key_value_heads", "num_kv_heads", "n_kv_heads", "n_head_kv", "multi_query_group_num")
    return fields.whole(*names) or fields.inner("attn_config").whole("kv_n_heads") or heads


def _head_dim(fields: Fields, hidden: int, heads: int) -> int:
    """Of queries and keys. With latent attention it is the sum of their two parts, whatever head_dim says."""
    without, rotary = fields.whole("qk_nope_head_dim"), fields.whole("qk_rope_head_dim")
    if without is not None and rotary is not None:
        return without + rotary
    return fields.whole("head_dim", "attention_head_dim", "kv_channels") or hidden // heads


def _tied(fields: Fields, output_layer: bool | None, notes: list[str]) -> bool:
    said = fields.flag("tie_word_embeddings")
    if said is not None:
        return said
    if output_layer is not None:
        return not output_layer
    notes.append("Nothing says whether the output layer shares the embedding's weights: it is taken not to.")
    return False


def _token_limit(fields: Fields, notes: list[str]) -> int:
    limit = fields.whole(*_LIMITS)
    if limit is None:
        notes.append(f"Its config.json has no token limit: {_LIMIT_IF_SILENT} is assumed; see its model card.")
    return limit or _LIMIT_IF_SILENT


def _longrope_from(fields: Fields, limit: int) -> int | None:
    """Older configs have rope_scaling, newer ones rope_parameters; Phi-3 has the original limit beside it."""
    for name in ("rope_scaling", "rope_parameters"):
        rope = fields.inner(name)
        if (rope.string("rope_type") or rope.string("type")) in ("longrope", "su"):
            original = rope.whole("original_max_position_embeddings") or fields.whole(
                "original_max_position_embeddings"
            )
            return original if original is not None and original < limit else None
    return None


def _estimated_parameters(fields: Fields, weights_bytes: int, notes: list[str]) -> int | None:
    """From the bytes, where they are not of 16 bits each."""
    if (fields.string("dtype") or fields.string("torch_dtype")) != "float32":
        return None
    notes.append("parameters is an estimate: the bytes of the weights at 4 bytes each.")
    return weights_bytes // 4


def _size(shape: ModelShape, weights_bytes: int, parameters: int | None) -> dict[str, Any]:
    """parameters where they are the sum over the shape, as the catalogue has it, weights_gib where they are not; both
    where the weights are not of 16 bits each, so that neither follows from the other."""
    gib = float(f"{weights_bytes / GIB:.5g}")
    if parameters is None:
        return {"weights_gib": gib}
    # The headers of the files are beside the weights.
    if abs(weights_bytes - 2 * parameters) > max(weights_bytes // 500, 2**20):
        return {"parameters": parameters, "weights_gib": gib}
    return {"parameters": parameters} if parameters == _plain_sum(shape) else {"weights_gib": gib}


def _plain_sum(shape: ModelShape) -> int:
    """Parameters of a decoder with gated feed-forward layers, two RMS norms a layer and nothing else."""
    attention = 2 * shape.hidden_size * (shape.heads + shape.kv_heads) * shape.head_dim
    layer = attention + 3 * shape.hidden_size * shape.intermediate_size + 2 * shape.hidden_size
    return shape.embedding_parameters + shape.layer_count * layer + shape.hidden_size


def _license(license: str, notes: list[str]) -> str:
    if not license:
        notes.append("Its licence is not known: read the model card and write it into the entry.")
    return license or UNKNOWN_LICENSE


def _parsers(fields: Fields, notes: list[str]) -> Parsers:
    tool, reasoning = PARSERS.get(fields.model_type, ("", ""))
    if fields.model_type == "llama" and fields.whole("vocab_size") == 128256:
        tool = "llama3_json"
    if tool or reasoning:
        notes.append(f"The parsers are those usual for {fields.model_type}: check them against the model card.")
    return Parsers(tool=tool, reasoning=reasoning)
