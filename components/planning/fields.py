"""Field types of the stack config whose rules pydantic has no words for: each refusal says found, allowed and do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator
from pydantic_core import PydanticCustomError

from components.planning.names import MAX_NAME, is_workspace_name, valid_name_like
from presets.catalog import UnknownPreset, catalog, preset_name
from presets.weights_source import parse_weights_source

REFUSED = "refused"
"""Error type of the refusals made here; their context has found, allowed and do."""


@dataclass(frozen=True)
class Hint:
    """What to do when a field's value is out of its range, where "write a value in this range" says too little."""

    do: str


def refusal(*, found: str, allowed: str, do: str) -> PydanticCustomError:
    return PydanticCustomError(REFUSED, "{allowed}", {"found": found, "allowed": allowed, "do": do})


def _workspace_name(name: str) -> str:
    if is_workspace_name(name):
        return name
    similar = valid_name_like(name)
    too_long = len(name) > MAX_NAME
    raise refusal(
        found=f'"{name}"' + (f", {len(name)} characters" if too_long else ""),
        allowed=f"lower-case letters, digits and -, a letter first, no - at the end, at most {MAX_NAME} characters "
        "(KubeRay's limit: the name is the same on every target)",
        do=f"call it {similar}" if similar else "choose a name such as chat",
    )


def _preset_name(name: str) -> str:
    try:
        return preset_name(name)
    except UnknownPreset as unknown:
        likely = ", ".join(unknown.nearest)
        allowed = f"nearest: {likely}" if likely else f"one of {', '.join(catalog())}"
        if "/" in name:
            raise refusal(
                found=f'"{name}", which is not in the catalogue',
                allowed=f"a preset of the catalogue, by its own or its repository's name; {allowed}",
                do="choose one; a fine-tuned model of the same architecture goes in presetOptions.weights "
                f"(hf:{name}) beside its preset",
            ) from None
        raise refusal(
            found=f'"{name}"',
            allowed=f"a preset in presets/models; {allowed}",
            do=f"write {unknown.nearest[0]}" if likely else "choose one of them",
        ) from None


def _weights(text: str) -> str:
    try:
        return str(parse_weights_source(text))
    except ValueError as wrong:
        raise refusal(found=f'"{text}"', allowed=str(wrong), do=_weights_hint(text)) from None


def _weights_hint(text: str) -> str:
    if text.startswith("/"):
        return f"write file:{text}"
    if text.startswith((".", "~")):
        return "write file: and the absolute path of the directory"
    if text.count("/") == 1 and ":" not in text:
        return f"write hf:{text}"
    return "leave it out for the preset's own weights"


def _no_adapters(adapters: list[Any]) -> list[Any]:
    if adapters:
        raise refusal(
            found="1 adapter" if len(adapters) == 1 else f"{len(adapters)} adapters",
            allowed="none: adapters are not in this version",
            do="remove adapters; merge one into its base model and name the result in preset.presetOptions.weights",
        )
    return adapters


def _engine_of_this_version(engine: str) -> str:
    if engine == "vllm":
        raise refusal(
            found="vllm",
            allowed="transformers: vLLM is not in this version",
            do="leave engine out, or write transformers",
        )
    return engine


def _config_is_not_a_config_map(config: object) -> object:
    if isinstance(config, str):
        raise refusal(
            found=f'"{config}", as the name of a ConfigMap',
            allowed="a map with maxContext, maxSequences, dtype, sampling, maxWaitingRequests",
            do="write the settings here: config: {maxContext: 2048}",
        )
    return config


WorkspaceName = Annotated[str, AfterValidator(_workspace_name)]
PresetName = Annotated[str, AfterValidator(_preset_name)]
WeightsText = Annotated[str, AfterValidator(_weights)]
Adapters = Annotated[list[Any], AfterValidator(_no_adapters)]
EngineKind = Annotated[Literal["transformers", "vllm"], AfterValidator(_engine_of_this_version)]
NotAConfigMap = BeforeValidator(_config_is_not_a_config_map)
