"""tuning.config: the sections of KAITO's training_config.yaml, and what they may hold; one set of rules for both."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Any, cast

from components.planning.errors import Problem
from components.planning.place import Place, shown
from presets.catalog import TuningMethod
from presets.nearest import nearest
from presets.tuning_placement import KAITO_RANK

SECTIONS = (
    "ModelConfig",
    "QuantizationConfig",
    "LoraConfig",
    "TrainingArguments",
    "DataCollator",
    "DatasetConfig",
)
DEFAULT_LORA = {"r": KAITO_RANK, "lora_alpha": 8}
"""Of both of KAITO's templates, and of its trainer where a ConfigMap has no LoraConfig (peft's own default)."""

OUTPUT_ROOT = "/mnt"
"""Where a tuning pod has its volumes."""

_BITS = ("load_in_4bit", "load_in_8bit")


def section_problems(sections: Mapping[str, Any], *, method: TuningMethod, place: Place) -> list[Problem]:
    """What is wrong with the sections of a tuning's config, which stand at `place`."""
    problems: list[Problem] = []
    for name, section in sections.items():
        if name not in SECTIONS:
            likely = nearest(str(name), SECTIONS, limit=1)
            problems.append(
                place.at(str(name)).problem(
                    found=f"unrecognized section {name}",
                    allowed=", ".join(SECTIONS),
                    do=f"did you mean {likely[0]}? Otherwise remove it" if likely else "remove it",
                )
            )
        elif section is not None and not isinstance(section, Mapping):
            do = "write its fields as key: value below it"
            problems.append(place.at(name).problem(found=shown(section), allowed="a map", do=do))
    problems += _bits_problems(_section(sections, "QuantizationConfig"), method, place.at("QuantizationConfig"))
    return problems + _output_dir_problems(_section(sections, "TrainingArguments"), place.at("TrainingArguments"))


def _section(sections: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    """None where it is absent, or is no map, which is reported already."""
    section = sections.get(name)
    return cast("Mapping[str, Any]", section) if isinstance(section, Mapping) else None


def _bits_problems(quantization: Mapping[str, Any] | None, method: TuningMethod, place: Place) -> list[Problem]:
    if quantization is None:
        return []
    wrong = [bits for bits in _BITS if not isinstance(quantization.get(bits), bool | None)]
    if wrong:
        do = "write it without quotes"
        return [
            place.at(bits).problem(found=shown(quantization[bits]), allowed="true or false", do=do) for bits in wrong
        ]
    asked = [bits for bits in _BITS if quantization.get(bits) is True]
    if len(asked) == 2:
        found = "both load_in_4bit and load_in_8bit are true"
        return [place.problem(found=found, allowed="one of them at most", do="remove load_in_8bit")]
    if method == "lora" and asked:
        return [
            place.at(asked[0]).problem(
                found=f"{asked[0]}: true with method lora",
                allowed="false: lora trains over weights that are not quantized",
                do="remove it, or write method: qlora",
            )
        ]
    if method == "qlora" and not asked:
        return [
            place.problem(
                found="method qlora, and neither load_in_4bit nor load_in_8bit is true",
                allowed="exactly one of them: qlora trains over quantized weights",
                do="add load_in_4bit: true, or write method: lora",
            )
        ]
    return []


def _output_dir_problems(arguments: Mapping[str, Any] | None, place: Place) -> list[Problem]:
    if arguments is None or "output_dir" not in arguments:
        return []
    folder = arguments["output_dir"]
    # A relative one is below /mnt, as in KAITO. An absolute one elsewhere passes KAITO's webhook, and its results are
    # lost with the pod.
    inside = posixpath.normpath(posixpath.join(OUTPUT_ROOT, folder)) if isinstance(folder, str) else ""
    if inside.startswith(f"{OUTPUT_ROOT}/"):
        return []
    return [
        place.at("output_dir").problem(
            found=shown(folder),
            allowed=f"a directory below {OUTPUT_ROOT}, where the pod has its volumes",
            do=f"write {OUTPUT_ROOT}/results",
        )
    ]
