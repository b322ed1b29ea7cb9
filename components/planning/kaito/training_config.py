"""training_config.yaml of a ConfigMap: its sections, judged by the rules of the stack config's tuning.config."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from components.planning.kaito.findings import Findings
from components.planning.place import Place, shown
from components.planning.tuning_config import DEFAULT_LORA, SECTIONS, section_problems
from presets.catalog import TuningMethod

KEY = "training_config.yaml"
DEFAULT_TEMPLATES = {"lora": "lora-params-template", "qlora": "qlora-params-template"}
"""The ConfigMaps of KAITO's chart that hold its defaults, by method."""

_ROOT = "training_config"


def sections_of(
    content: Mapping[str, Any], *, method: TuningMethod, place: Place, findings: Findings
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


def with_defaults(sections: Mapping[str, Any]) -> dict[str, Any]:
    """The sections, with KAITO's rank and alpha where they say nothing else."""
    lora = sections.get("LoraConfig")
    given = cast("Mapping[str, Any]", lora) if isinstance(lora, Mapping) else dict[str, Any]()
    return {**sections, "LoraConfig": {**DEFAULT_LORA, **given}}
