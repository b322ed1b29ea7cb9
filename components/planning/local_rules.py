"""What target local does not do, or not yet: refused where it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.planning.adapter_rules import host_directory
from components.planning.config import InferenceSpec, TuningSpec, WorkspaceSpec
from components.planning.errors import Problem
from components.planning.place import Place
from presets.catalog import Models, Preset

_ELSEWHERE = "targets kubernetes and aks plan it"


def context_limit(preset: Preset) -> int:
    """Tokens that the engine of this machine gives one sequence of a preset at most.

    transformers picks the factors of longrope by the longest sequence of a batch, so that a long one would change what
    its neighbours say: the engine refuses to go there.
    """
    return min(preset.max_context, preset.longrope_from or preset.max_context)


def not_on_this_machine(workspace: WorkspaceSpec, place: Place, models: Models) -> list[Problem]:
    """What an update of target local would have to refuse."""
    problems: list[Problem] = []
    if workspace.tuning is not None:
        problems += _tuning(workspace.tuning, place.at("tuning"))
    if workspace.engine == "vllm":
        problems.append(
            place.at("engine").problem(
                found="vllm",
                allowed=f"transformers: vLLM needs other versions than this machine's environment has, {_ELSEWHERE}",
                do="leave engine out, or write transformers",
            )
        )
    if workspace.inference is not None:
        problems += _inference(workspace.inference, place.at("inference"))
        problems += _context(workspace.inference, place.at("inference", "config", "maxContext"), models)
    return problems


def _tuning(tuning: TuningSpec, place: Place) -> list[Problem]:
    volumes = {"input": tuning.input.volume_source, "output": tuning.output and tuning.output.volume_source}
    otherwise = {"input": "dataset: file:PATH with a file or directory", "output": "image: with a registry's image"}
    return [
        problem
        for part, volume in volumes.items()
        for problem in _volume(volume, place.at(part, "volumeSource"), otherwise[part])
    ]


def _inference(inference: InferenceSpec, place: Place) -> list[Problem]:
    problems: list[Problem] = []
    if inference.template is not None:
        problems.append(
            place.at("template").problem(
                found="template",
                allowed="preset: a pod template needs a cluster",
                do="remove template and name a preset, or write target: kubernetes",
            )
        )
    for index, adapter in enumerate(inference.adapters):
        problems += _volume(
            adapter.source.volume_source,
            place.at("adapters", index, "source", "volumeSource"),
            "uri: file:/DIRECTORY with the directory of the adapter",
        )
    return problems


def _volume(volume: Mapping[str, Any] | None, place: Place, otherwise: str) -> list[Problem]:
    """Nothing is mounted here: of Kubernetes' volumes a directory of this machine is the one that can be had."""
    if not volume or host_directory(volume) is not None:
        return []
    return [
        place.problem(
            found=", ".join(sorted(volume)),
            allowed="hostPath with an absolute path: this machine mounts no volumes",
            do=f"write {otherwise}, or volumeSource: {{hostPath: {{path: ...}}}}",
        )
    ]


def _context(inference: InferenceSpec, place: Place, models: Models) -> list[Problem]:
    asked, preset = inference.config.max_context, inference.preset
    if asked is None or preset is None:
        return []
    facts = models.find(preset.name)
    limit = context_limit(facts)
    if not limit < asked <= facts.max_context:
        return []
    return [
        place.problem(
            found=f"{asked} tokens",
            allowed=f"at most {limit} tokens, above which the rotary factors of {preset.name} would change for all "
            "sequences of a batch (longrope)",
            do=f"write {limit} or less, or choose a preset with a longer context",
        )
    ]
