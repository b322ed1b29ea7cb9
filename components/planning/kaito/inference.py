"""inference and tuning of a Workspace, with the ConfigMaps that they name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from components.planning.adapter_rules import adapter_problems
from components.planning.config import AdapterSpec
from components.planning.kaito import inference_config, training_config
from components.planning.kaito.config_maps import ConfigMaps
from components.planning.kaito.documents import Document
from components.planning.kaito.findings import Findings
from components.planning.kaito.preset import check_access, preset_item, without_empty
from components.planning.kaito.schema import Inference, Tuning
from components.planning.place import Place
from components.planning.tuning_rules import input_problems, output_problems
from presets.catalog import Models, Preset, UnknownPreset


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a document is read with."""

    config_maps: ConfigMaps
    existing_nodes: bool
    findings: Findings
    models: Models
    allowed_hosts: frozenset[str] = frozenset()
    """That data may come from although they are inside."""


def inference_item(
    inference: Inference,
    place: Place,
    document: Document,
    context: Context,
    *,
    engine: str | None,
    v1alpha1: bool,
) -> dict[str, Any]:
    findings = context.findings
    item: dict[str, Any] = {}
    if (inference.preset is None) == (inference.template is None):
        findings.refuse(
            place,
            found="neither preset nor template" if inference.preset is None else "both preset and template",
            allowed="exactly one of them",
            do="add preset: {name: phi-3-mini-4k-instruct}" if inference.preset is None else "remove template",
        )
    if inference.preset is not None:
        item["preset"] = preset_item(inference.preset, place.at("preset"), findings, v1alpha1=v1alpha1)
        check_access(inference.preset, place.at("preset"), findings, context.models, v1alpha1=v1alpha1)
    if inference.template is not None:
        item["template"] = inference.template
    if inference.adapters:
        adapters = [adapter.model_dump(by_alias=True, exclude_none=True) for adapter in inference.adapters]
        specs = [AdapterSpec.model_validate(adapter) for adapter in adapters]
        findings.problems += adapter_problems(specs, place.at("adapters"))
        item["adapters"] = [without_empty(adapter) for adapter in adapters]
    config = _inference_config(inference, place.at("config"), document, context, engine=engine)
    return item | ({"config": config} if config else {})


def _inference_config(
    inference: Inference, place: Place, document: Document, context: Context, *, engine: str | None
) -> dict[str, Any]:
    name = inference.config
    if not name or name == inference_config.DEFAULT_TEMPLATE:
        return {}
    if engine == "transformers":
        context.config_maps.used.add(name)
        context.findings.warn(
            place, f"{name} not honoured: its arguments are vLLM's, as in KAITO's transformers runtime"
        )
        return {}
    content = context.config_maps.yaml_in(
        name, inference_config.KEY, namespace=document.namespace, place=place, findings=context.findings
    )
    if content is None:
        return {}
    here = Place(f"{place.path} ({name}, {inference_config.KEY})", place.workspace)
    preset = _known(inference.preset.name, context.models) if inference.preset else None
    return inference_config.converted(content, here, context.findings, preset=preset)


def _known(name: str, models: Models) -> Preset | None:
    try:
        return models.find(name)
    except UnknownPreset:
        return None


def tuning_item(tuning: Tuning, place: Place, document: Document, context: Context) -> dict[str, Any]:
    findings = context.findings
    findings.problems += input_problems(tuning.input, place.at("input"), context.allowed_hosts)
    findings.problems += output_problems(tuning.output, place.at("output"))
    return {
        "preset": preset_item(tuning.preset, place.at("preset"), findings, v1alpha1=False),
        "method": tuning.method,
        "config": _training_config(tuning, place.at("config"), document, context),
        "input": without_empty(tuning.input.model_dump(by_alias=True, exclude_none=True)),
        "output": without_empty(tuning.output.model_dump(by_alias=True, exclude_none=True)),
    }


def _training_config(tuning: Tuning, place: Place, document: Document, context: Context) -> dict[str, Any]:
    defaults = training_config.with_defaults({})
    name, template = tuning.config, training_config.DEFAULT_TEMPLATES[tuning.method]
    if not name or name == template:
        return defaults
    if name in training_config.DEFAULT_TEMPLATES.values():
        context.findings.refuse(
            place,
            found=f'"{name}" with method {tuning.method}',
            allowed=f"{template}, or a ConfigMap of your own",
            do=f"write {template}, or leave config out, which means the same",
        )
        return defaults
    content = context.config_maps.yaml_in(
        name, training_config.KEY, namespace=document.namespace, place=place, findings=context.findings
    )
    if content is None:
        return defaults
    here = Place(f"{place.path} ({name}, {training_config.KEY})", place.workspace)
    sections = training_config.sections_of(content, method=tuning.method, place=here, findings=context.findings)
    return training_config.with_defaults(sections)
