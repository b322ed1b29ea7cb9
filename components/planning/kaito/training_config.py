"""training_config.yaml: its sections, and what they may hold; the same rules for the stack config's tuning.config."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Any, Literal, cast

from components.planning.errors import Problem
from components.planning.kaito.findings import Findings
from components.planning.place import Place, shown
from presets.nearest import nearest

KEY = "training_config.yaml"
DEFAULT_TEMPLATES = {"lora": "lora-params-template", "qlora": "qlora-params-template"}
"""The ConfigMaps of KAITO's chart that hold its defaults, by method."""

DEFAULT_LORA = {"r": 8, "lora_alpha": 8}
"""Of both templates, and of KAITO's trainer where a ConfigMap has no LoraConfig (peft's own default)."""

SECTIONS = (
    "ModelConfig",
    "QuantizationConfig",
    "LoraConfig",
    "TrainingArguments",
    "DataCollator",
    "DatasetConfig",
)
OUTPUT_ROOT = "/mnt"
"""Where a tuning pod has its volumes."""

_ROOT = "training_config"
_BITS = ("load_in_4bit", "load_in_8bit")


def sections_of(
    content: Mapping[str, Any], *, method: Literal["lora", "qlora"], place: Place, findings: Findings
) -> dict[str, Any]:
    """The sections below training_config, checked. `place` is where the YAML stands."""
    if isinstance(content.get(_ROOT), Mapping):
        sections = cast("dict[str, Any]", content[_ROOT])
    else:
        moved = [section for section in SECTIONS if section in content]
        findings.refuse(
            place,
            found=f"{', '.join(moved)} at the top" if moved else shown(content.get(_ROOT, content)),
            allowed=f"{_ROOT}: with the sections {', '.join(SECTIONS)} below it",
            do=f"put {_ROOT}: above the sections and indent them",
        )
        return {}
    findings.problems += section_problems(sections, method=method, place=place.at(_ROOT))
    if method == "qlora" and sections.get("QuantizationConfig") is None:
        # A ConfigMap replaces KAITO's template as a whole, so that nothing is left that asks for 4 bits.
        findings.refuse(
            place.at(_ROOT),
            found="method qlora without QuantizationConfig",
            allowed="load_in_4bit: true or load_in_8bit: true",
            do="add QuantizationConfig: {load_in_4bit: true}, or write method: lora",
        )
    return {name: section for name, section in sections.items() if section is not None}


def section_problems(sections: Mapping[str, Any], *, method: Literal["lora", "qlora"], place: Place) -> list[Problem]:
    """What is wrong with the sections of a tuning's config, which stand at `place`."""
    findings = Findings()
    for name, section in sections.items():
        if name not in SECTIONS:
            likely = nearest(str(name), SECTIONS, limit=1)
            findings.refuse(
                place.at(str(name)),
                found=f"unrecognized section {name}",
                allowed=", ".join(SECTIONS),
                do=f"did you mean {likely[0]}? Otherwise remove it" if likely else "remove it",
            )
        elif section is not None and not isinstance(section, Mapping):
            findings.refuse(
                place.at(name), found=shown(section), allowed="a map", do="write its fields as key: value below it"
            )
    _check_bits(_section(sections, "QuantizationConfig"), method, place.at("QuantizationConfig"), findings)
    _check_output_dir(_section(sections, "TrainingArguments"), place.at("TrainingArguments"), findings)
    return findings.problems


def _section(sections: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    section = sections.get(name)
    return cast("Mapping[str, Any]", section) if isinstance(section, Mapping) else None


def _check_bits(
    quantization: Mapping[str, Any] | None, method: Literal["lora", "qlora"], place: Place, findings: Findings
) -> None:
    if quantization is None:
        return
    wrong = [bits for bits in _BITS if not isinstance(quantization.get(bits), bool | None)]
    for bits in wrong:
        findings.refuse(
            place.at(bits), found=shown(quantization[bits]), allowed="true or false", do="write it without quotes"
        )
    asked = [bits for bits in _BITS if quantization.get(bits) is True]
    if wrong:
        return
    if len(asked) == 2:
        findings.refuse(
            place,
            found="both load_in_4bit and load_in_8bit are true",
            allowed="one of them at most",
            do="remove load_in_8bit",
        )
    elif method == "lora" and asked:
        findings.refuse(
            place.at(asked[0]),
            found=f"{asked[0]}: true with method lora",
            allowed="false: lora trains over weights that are not quantized",
            do="remove it, or write method: qlora",
        )
    elif method == "qlora" and not asked:
        findings.refuse(
            place,
            found="method qlora, and neither load_in_4bit nor load_in_8bit is true",
            allowed="exactly one of them: qlora trains over quantized weights",
            do="add load_in_4bit: true, or write method: lora",
        )


def _check_output_dir(arguments: Mapping[str, Any] | None, place: Place, findings: Findings) -> None:
    if arguments is None or "output_dir" not in arguments:
        return
    folder, here = arguments["output_dir"], place.at("output_dir")
    # A relative one is below /mnt, as in KAITO. An absolute one elsewhere passes KAITO's webhook, and its results are
    # lost with the pod.
    inside = posixpath.normpath(posixpath.join(OUTPUT_ROOT, folder)) if isinstance(folder, str) else ""
    if inside.startswith(f"{OUTPUT_ROOT}/"):
        return
    findings.refuse(
        here,
        found=shown(folder),
        allowed=f"a directory below {OUTPUT_ROOT}, where the pod has its volumes",
        do=f"write {OUTPUT_ROOT}/results",
    )
