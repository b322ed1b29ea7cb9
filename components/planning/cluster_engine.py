"""The engine of a replica on nodes: what the plan has decided, in the form that the replica reads."""

from __future__ import annotations

from components.planning.engine_arguments import passed_on
from components.planning.placed import PlacedWorkspace
from presets.engines import engine_facts
from presets.placement import Placement
from presets.serve_config import EngineArgs, VllmArgs


def engine_args(workspace: PlacedWorkspace) -> EngineArgs:
    """Of a workspace that serves a preset on nodes that are known."""
    placement, inference = workspace.model, workspace.spec.inference
    assert isinstance(placement, Placement)
    assert inference is not None
    load, split = placement.load, placement.split
    vllm = VllmArgs(
        tensor_parallel=split.tensor,
        pipeline_parallel=split.pipeline,
        nodes=placement.nodes_of_replica,
        gpu_memory_utilization=load.utilization or engine_facts("vllm").utilization,
        max_adapters=len(load.adapter_ranks),
        max_adapter_rank=max(load.adapter_ranks, default=VllmArgs().max_adapter_rank),
        arguments=passed_on(inference.config.vllm),
    )
    return EngineArgs(
        kind=load.engine,
        dtype=load.dtype,
        quantization=load.quantization,
        max_context=load.context,
        max_sequences=load.sequences,
        vllm=vllm if load.engine == "vllm" else None,
    )
