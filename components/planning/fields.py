"""Field types of the stack config whose rules pydantic has no words for: each refusal says found, allowed and do."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, cast

from pydantic import AfterValidator, BeforeValidator, ValidationInfo
from pydantic_core import PydanticCustomError

from components.planning.image_reference import ALLOWED, image_hint
from components.planning.names import MAX_NAME, is_workspace_name, valid_name_like
from components.planning.place import shown
from presets.catalog import Models, TuningMethod, UnknownPreset, catalog, retired
from presets.image_reference import image_meant, parse_image
from presets.weights_source import parse_weights_source

REFUSED = "refused"
"""Error type of the refusals made here; their context has found, allowed and do."""

MODELS = "models"
"""Key of the validation's context: presets.catalog.Models."""


TENSOR = "tensor-parallel-size"
"""vLLM's argument for the number of GPUs that share each layer; the plan divides the model so."""

UTILIZATION = "gpu-memory-utilization"
"""vLLM's argument for the part of a GPU's memory that it takes; the plan counts with it."""


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


def _preset_name(name: str, info: ValidationInfo) -> str:
    """The context of the validation may have the models beyond the catalogue that the stack names."""
    context = cast("Mapping[str, Models]", info.context or {})
    try:
        return context.get(MODELS, Models()).name(name)
    except UnknownPreset as unknown:
        raise _unknown_preset(name, unknown) from None


def _unknown_preset(name: str, unknown: UnknownPreset) -> PydanticCustomError:
    likely = ", ".join(unknown.nearest)
    if instead := retired(name):
        return refusal(found=f'"{name}", which KAITO has retired', allowed="a preset in presets/models", do=instead)
    if "/" in name:
        here = name.startswith(("/", ".", "~", "file:"))
        return refusal(
            found=f'"{name}", which is not in the catalogue' + (f": {unknown.reason}" if unknown.reason else ""),
            allowed="a preset of the catalogue, by its own or its repository's name, or a model that can be described: "
            "a repository on the hub or a directory" + (f"; nearest: {likely}" if likely else ""),
            do="correct the directory; it is looked for from where the stack's file is"
            if here
            else f"choose a preset; or run python -m presets.add {name} --family where the hub can be reached, and "
            "commit what it writes",
        )
    return refusal(
        found=f'"{name}"',
        allowed="a preset in presets/models; " + (f"nearest: {likely}" if likely else f"one of {', '.join(catalog())}"),
        do=f"write {unknown.nearest[0]}" if likely else "choose one of them",
    )


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
    if image := image_meant(text):
        return f"write oci:{image}"
    return "leave it out for the preset's own weights"


def _weights_image(image: str) -> str:
    """An empty one counts as absent, as in Go."""
    if not image or parse_image(image) is not None:
        return image
    raise refusal(found=f'"{image}"', allowed=ALLOWED, do=image_hint(image))


_STRENGTH = re.compile(r"[0-9]+(\.[0-9]*)?|\.[0-9]+", re.ASCII)


def _strength(strength: str) -> str:
    if _STRENGTH.fullmatch(strength) and float(strength) <= 1:
        return strength
    raise refusal(found=f'"{strength}"', allowed="a number from 0 to 1, in quotes", do='write "1.0"')


def _lower(method: object) -> object:
    """KAITO takes a method in any case of letters."""
    return method.lower() if isinstance(method, str) else method


def _config_is_not_a_config_map(config: object) -> object:
    if isinstance(config, str):
        raise refusal(
            found=f'"{config}", as the name of a ConfigMap',
            allowed="a map with maxContext, maxSequences, dtype, sampling and the like",
            do="write the settings here: config: {maxContext: 2048}",
        )
    return config


def _scalar(value: object) -> object:
    if isinstance(value, str | bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise refusal(found=shown(value), allowed="text, a number, true or false", do="write one value, or remove it")


WorkspaceName = Annotated[str, AfterValidator(_workspace_name)]
PresetName = Annotated[str, AfterValidator(_preset_name)]
WeightsText = Annotated[str, AfterValidator(_weights)]
WeightsImage = Annotated[str, AfterValidator(_weights_image)]
Scalar = Annotated[Any, AfterValidator(_scalar)]
Strength = Annotated[str, AfterValidator(_strength)]
Method = Annotated[TuningMethod, BeforeValidator(_lower)]
NotAConfigMap = BeforeValidator(_config_is_not_a_config_map)
