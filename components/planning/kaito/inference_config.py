"""inference_config.yaml: arguments of vLLM in KAITO's ConfigMap, and what they are called in our config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from components.planning.engine_arguments import DECIDED
from components.planning.kaito.findings import Findings
from components.planning.place import Place, shown
from presets.nearest import nearest

KEY = "inference_config.yaml"
DEFAULT_TEMPLATE = "inference-params-template"
"""The ConfigMap of KAITO's chart that holds its defaults."""

_WITHOUT_EFFECT = {
    "max_probe_steps": "KAITO reads it and uses it no more; here the plan computes what context fits",
    "kv_cache_cpu_memory_utilization": "a KV cache in the node's memory (LMCache) is not in this version",
}
_WHOLE_NUMBERS = {"max-model-len": "maxContext", "max-num-seqs": "maxSequences"}
_DTYPES = {
    "bfloat16": "bfloat16",
    "float16": "float16",
    "half": "float16",
    "float32": "float32",
    "float": "float32",
}


def converted(content: Mapping[str, Any], place: Place, findings: Findings) -> dict[str, Any]:
    """inference.config of our own form. `place` is where the YAML stands."""
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
    return _of_vllm(cast("Mapping[str, object]", arguments), place.at("vllm"), findings)


def _of_vllm(arguments: Mapping[str, object], place: Place, findings: Findings) -> dict[str, Any]:
    config: dict[str, Any] = {}
    others: dict[str, str | int | float | bool] = {}
    for written, value in arguments.items():
        name, here = str(written).lstrip("-").replace("_", "-"), place.at(str(written))
        if not isinstance(value, str | int | float):
            findings.refuse(here, found=shown(value), allowed="text, a number or a boolean", do=_scalar_hint(value))
        elif name in _WHOLE_NUMBERS:
            number = _whole_number(value, here, findings)
            if number is not None:
                config[_WHOLE_NUMBERS[name]] = number
        elif name == "dtype":
            config |= _dtype(value, here, findings)
        elif name in DECIDED:
            findings.warn(here, "not honoured: it follows from the plan")
        else:
            others[name] = value
    if others.get("quantization") == "bitsandbytes":
        # vLLM's in-flight bitsandbytes is always NF4; load-format only repeats it.
        del others["quantization"]
        others.pop("load-format", None)
        config["quantization"] = "nf4"
    if others:
        config["vllm"] = others
    return config


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
