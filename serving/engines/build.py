"""From the plan's engine arguments to an engine."""

from __future__ import annotations

from pathlib import Path

from presets.serve_config import EngineArgs
from serving.engines.process.engine_process import EngineProcess
from serving.engines.process.messages import LaunchOptions
from serving.engines.protocol import Engine
from serving.engines.vllm_engine.arguments import launch_arguments
from serving.engines.vllm_engine.engine import VllmEngine, VllmOptions


def build_engine(args: EngineArgs, model_dir: Path, trust_remote_code: bool, name: str | None = None) -> Engine:
    """An engine for the weights in `model_dir`, not started yet. `name` shows in `ps` and in the engine's log.

    Raises StartupFailure for arguments that the engine cannot be started with.
    """
    if args.vllm is not None:
        return VllmEngine(
            VllmOptions(
                model_dir=model_dir,
                arguments=launch_arguments(args, model_dir, trust_remote_code=trust_remote_code),
                max_sequences=args.max_sequences,
                max_adapter_rank=args.vllm.max_adapter_rank if args.vllm.max_adapters else 0,
            )
        )
    options = LaunchOptions(
        name=name or model_dir.name, model_dir=model_dir, trust_remote_code=trust_remote_code, engine=args
    )
    return EngineProcess(options)
