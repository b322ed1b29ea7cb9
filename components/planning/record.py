"""What an update leaves in the state of each workspace, so that the next plan can tell what it changes, money included.

Plain values only, and no secrets: what may hold one, such as a signed URL or a pod's environment, is a digest; of
an API key it is the SHA-256.
"""

from __future__ import annotations

import hashlib
from typing import Any

from pydantic import JsonValue

from components.planning.config import InferenceSpec, TuningSpec
from components.planning.local_plan import WorkspacePlan
from components.planning.local_tuning import TuningPlan
from components.planning.placed import PlacedWorkspace
from components.planning.render import canonical_json
from presets.placement import Placement

Record = dict[str, JsonValue]


def local_record(workspace: WorkspacePlan) -> Record:
    """Of a workspace on this machine; its settings stand in its Serve application."""
    return {"name": workspace.name, "target": "local", "kind": "inference", "preset": workspace.preset, "perHour": 0.0}


def tuning_record(tuning: TuningPlan) -> Record:
    """Of a tuning on this machine; its job stands in its own resource."""
    return {"name": tuning.name, "target": "local", "kind": "tuning", "preset": tuning.preset, "perHour": 0.0}


def placed_record(workspace: PlacedWorkspace, target: str, currency: str) -> Record:
    """Of a workspace on nodes; keys are those of components.planning.change_rules, and what identifies it."""
    spec = workspace.spec
    made = workspace.node is not None and not workspace.node.existing
    record: Record = {
        "name": workspace.name,
        "target": target,
        "kind": workspace.record_kind,
        "preset": workspace.preset,
        "replicas": workspace.replicas,
        "instanceType": workspace.node.size_name if workspace.node else "",
        "nodes": workspace.nodes,
        "perHour": workspace.per_hour,
        "currency": currency,
        "spot": workspace.spot,
        "labelSelector": _plain(spec.resource.label_selector),
        "preferredNodes": list(spec.resource.preferred_nodes),
        "partition": _plain(spec.resource.partition),
        "imageFamily": spec.resource.image_family if made else None,
        "nodeClass": spec.resource.node_class if made else None,
        "loadBalancer": spec.load_balancer,
        **workspace.pods,
    }
    if spec.inference is not None:
        record |= _inference(spec.inference, workspace)
    if spec.tuning is not None:
        record |= _tuning(spec.tuning)
    return record


def _inference(inference: InferenceSpec, workspace: PlacedWorkspace) -> Record:
    config, facts = inference.config, workspace.facts
    options = inference.preset.preset_options if inference.preset else None
    record: Record = {
        "weights": (options and options.weights) or (facts.weights_source if facts else ""),
        "quantization": config.quantization,
        "sampling": _plain(config.sampling),
        "maxWaitingRequests": config.max_waiting_requests,
        "requestTimeoutSeconds": config.request_timeout_seconds,
        "apiKeys": [_plain(key) for key in workspace.api_keys] or None,
        "vllm": _digest(dict(config.vllm)) if config.vllm else None,
        "template": _digest(inference.template),
        "adapters": sorted((_plain(adapter) for adapter in inference.adapters), key=canonical_json),
        "modelAccessSecret": options and options.model_access_secret,
    }
    if isinstance(workspace.model, Placement):
        load, split = workspace.model.load, workspace.model.split
        record |= {
            "engine": load.engine,
            "dtype": load.dtype,
            "maxContext": load.context,
            "maxSequences": load.sequences,
            "parallelism": [split.tensor, split.pipeline],
        }
        if load.engine == "vllm":
            # vLLM keeps places for adapters from its start on.
            record["adapter slots"] = [len(load.adapter_ranks), max(load.adapter_ranks, default=0)]
    return record


def _tuning(tuning: TuningSpec) -> Record:
    return {
        "weights": tuning.preset.preset_options.weights,
        "modelAccessSecret": tuning.preset.preset_options.model_access_secret,
        "method": tuning.method,
        "tuning config": _digest(tuning.config),
        "input": _digest(_plain(tuning.input)),
        "output": _digest(_plain(tuning.output)),
        "evaluation": _digest(_plain(tuning.evaluation)),
        "seed": tuning.seed,
        "maxSteps": tuning.max_steps,
        "packing": tuning.packing,
        "resume": tuning.resume,
    }


def _digest(value: JsonValue) -> str | None:
    return None if value is None else hashlib.sha256(canonical_json(value).encode()).hexdigest()[:12]


def _plain(model: Any) -> JsonValue:  # noqa: ANN401 - any of the config's models, or None
    return None if model is None else model.model_dump(mode="json", by_alias=True, exclude_defaults=True)
