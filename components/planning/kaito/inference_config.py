"""inference_config.yaml: arguments of vLLM in KAITO's ConfigMap, and what they are called in our config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from components.planning.engine_arguments import DECIDED
from components.planning.kaito.findings import Findings
from components.planning.place import Place, shown
from presets.catalog import Preset
from presets.nearest import nearest

KEY = "inference_config.yaml"
DEFAULT_TEMPLATE = "inference-params-template"
"""The ConfigMap of KAITO's chart that holds its defaults."""

_WITHOUT_EFFECT = {
    "max_probe_steps": "KAITO reads it and uses it no more; here the plan computes what context fits",
    "kv_cache_cpu_memory_utilization": "a KV cache in the node's memory (LMCache) is not in this version",
}
IN_FLIGHT = "nf4"
"""What vLLM's bitsandbytes makes of weights when it loads them."""

_FORMATS = {
    "compressed-tensors": ("fp8", "int4", "int8", "nvfp4", "mixed"),
    "modelopt": ("fp8", "nvfp4", "mixed"),
    "modelopt-fp4": ("nvfp4",),
    "fbgemm-fp8": ("fp8",),
    "fp8": ("fp8", "mixed"),
    "auto-round": ("gptq", "awq"),
}
"""Names of vLLM for formats that have one name of their own here, as in presets/drafting/formats.py."""

_WHOLE_NUMBERS = {"max-model-len": "maxContext", "max-num-seqs": "maxSequences"}
_DTYPES = {
    "bfloat16": "bfloat16",
    "float16": "float16",
    "half": "float16",
    "float32": "float32",
    "float": "float32",
}


def converted(
    content: Mapping[str, Any], place: Place, findings: Findings, *, preset: Preset | None = None
) -> dict[str, Any]:
    """inference.config of our own form. `place` is where the YAML stands; `preset`: whose, None where none is known."""
    for key in content:
        if key in _WITHOUT_EFFECT:
            findings.warn(place.at(key), f"not honoured: {_WITHOUT_EFFECT[key]}")
        elif key != "vllm":
            likely = nearest(key, ("vllm", *_WITHOUT_EFFECT), limit=1)
            hint = f"did you mean {likely[0]}?" if likely else "vLLM's arguments stand below vllm:"
            findings.warn(place.at(key), f"not honoured, as KAITO does not read it either; {hint}")
    arguments = content.get("vllm")
    if arguments is None:
        return {}
    if not isinstance(arguments, Mapping):
        findings.refuse(
            place.at("vllm"),
            found=shown(arguments),
            allowed="a map of vLLM's arguments, without the dashes in front",
            do="write them as key: value",
        )
        return {}
    return _of_vllm(cast("Mapping[str, object]", arguments), place.at("vllm"), findings, preset)


def _of_vllm(
    arguments: Mapping[str, object], place: Place, findings: Findings, preset: Preset | None
) -> dict[str, Any]:
    config: dict[str, Any] = {}
    others: dict[str, str | int | float | bool] = {}
    for written, value in arguments.items():
        name, here = str(written).lstrip("-").replace("_", "-"), place.at(str(written))
        if name in DECIDED:
            findings.warn(here, "not honoured: it follows from the plan")
        elif not isinstance(value, str | int | float):
            findings.refuse(here, found=shown(value), allowed="text, a number or a boolean", do=_scalar_hint(value))
        elif name in _WHOLE_NUMBERS:
            number = _whole_number(value, here, findings)
            if number is not None:
                config[_WHOLE_NUMBERS[name]] = number
        elif name == "dtype":
            config |= _dtype(value, here, findings)
        elif name == "quantization":
            config |= _quantization(str(value), here, findings, preset)
        else:
            others[name] = value
    if config.get("quantization") == IN_FLIGHT:
        # load-format: bitsandbytes only repeats it.
        others.pop("load-format", None)
    if others:
        config["vllm"] = others
    return config


def _quantization(method: str, place: Place, findings: Findings, preset: Preset | None) -> dict[str, str]:
    """What vLLM is told of published weights says nothing new; of others it makes 4 bits when it loads them."""
    published = preset.quantization.method if preset and preset.quantization else ""
    # awq_marlin and gptq_marlin are other kernels for the same weights.
    means = method.lower().replace("_", "-").removesuffix("-marlin")
    if means in ("", "none") or preset is None:
        return {}
    if means == "bitsandbytes" and published in ("", IN_FLIGHT):
        return {} if published else {"quantization": IN_FLIGHT}
    if published in _FORMATS.get(means, (means,)):
        findings.warn(place, f"not honoured: the weights are published in {published}, which vLLM sees by itself")
        return {}
    are = f"published in {published}" if published else "published in 16 bits"
    findings.refuse(
        place,
        found=shown(method),
        allowed=f"how the weights are: {are}" if published else f"none or bitsandbytes: the weights are {are}",
        do=f"remove it, or choose a preset that is published in {means}",
    )
    return {}


def _whole_number(value: str | float, place: Place, findings: Findings) -> int | None:
    """KAITO takes it in quotes too, and an empty one as not given."""
    text = str(value).strip()
    if text.isdecimal() and int(text) > 0:
        return int(text)
    if text:
        findings.refuse(
            place, found=shown(value), allowed="a whole number of at least 1", do="write a number such as 4096"
        )
    return None


def _dtype(value: str | float, place: Place, findings: Findings) -> dict[str, str]:
    if value == "auto":
        return {}
    if value in _DTYPES:
        return {"dtype": _DTYPES[str(value)]}
    findings.refuse(
        place,
        found=shown(value),
        allowed=f"one of auto, {', '.join(_DTYPES)}",
        do="write auto for the type that suits the GPU",
    )
    return {}


def _scalar_hint(value: object) -> str:
    return "fill it in, or remove it" if value is None else "write vLLM's argument as one line of text"
