"""What a workspace asks of its nodes, in the words of the arithmetic."""

from __future__ import annotations

from components.planning.config import WorkspaceSpec
from components.planning.fields import TENSOR, UTILIZATION
from components.planning.spec import Spec
from components.planning.training_values import tuning_demand
from presets.placement import Demand
from presets.tuning_placement import TuningDemand


def demand_of(workspace: WorkspaceSpec, spec: Spec) -> Demand:
    """Of a workspace that serves a preset."""
    inference = workspace.inference
    assert inference is not None
    assert inference.preset is not None
    config = inference.config
    share, tensor = config.vllm.get(UTILIZATION), config.vllm.get(TENSOR)
    return Demand(
        preset=spec.models.find(inference.preset.name),
        context=config.max_context,
        sequences=config.max_sequences,
        engine=workspace.engine,
        dtype=config.dtype,
        quantization=config.quantization,
        adapter_ranks=tuple(sorted(adapter.rank for adapter in inference.adapters)),
        replicas=workspace.replicas,
        nodes=workspace.resource.count,
        tensor=tensor if isinstance(tensor, int) else None,
        utilization=float(share) if isinstance(share, int | float) else None,
    )


def tuning_demand_of(workspace: WorkspaceSpec, spec: Spec) -> TuningDemand:
    """Of a workspace that makes an adapter."""
    assert workspace.tuning is not None
    return tuning_demand(workspace.tuning, spec.models.find(workspace.tuning.preset.name))
