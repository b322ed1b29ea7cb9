"""inference.config.vllm: arguments that are passed on to vLLM, and those that the plan has to know of instead."""

from __future__ import annotations

import re
from collections.abc import Mapping

from components.planning.config import Scalar, WorkspaceSpec
from components.planning.errors import Problem
from components.planning.fields import TENSOR, UTILIZATION
from components.planning.place import Place, shown

OWN_FIELDS = {
    "max-model-len": "inference.config.maxContext",
    "max-num-seqs": "inference.config.maxSequences",
    "dtype": "inference.config.dtype",
    "quantization": "inference.config.quantization",
}
"""Arguments that are fields of the config, which the plan counts with."""

DECIDED = frozenset(
    {
        *("model", "served-model-name", "tokenizer", "revision", "host", "port", "root-path"),
        *("pipeline-parallel-size", "data-parallel-size", "distributed-executor-backend"),
        *("enable-lora", "lora-modules", "max-loras", "max-lora-rank", "max-cpu-loras"),
        *("generation-config", "override-generation-config", "logprobs-mode", "max-logprobs", "disable-log-stats"),
        *("skip-tokenizer-init", "structured-outputs-config", "structured-outputs-config.backend"),
    }
)
"""Arguments that follow from the plan or that the API counts on: a second value would contradict it."""

OF_THE_SERVER = frozenset(
    {
        *("chat-template", "chat-template-content-format", "default-chat-template-kwargs", "response-role"),
        *("enable-auto-tool-choice", "tool-call-parser", "tool-parser-plugin", "tool-server", "tool-strict-level"),
        *("enable-prompt-tokens-details", "enable-force-include-usage", "enable-server-load-tracking"),
        *("enable-log-outputs", "enable-log-deltas", "max-log-len", "return-tokens-as-token-ids"),
        *("uvicorn-log-level", "disable-uvicorn-access-log", "disable-fastapi-docs", "middleware", "api-server-count"),
        *("allow-credentials", "allowed-origins", "allowed-methods", "allowed-headers", "enable-request-id-headers"),
        *("ssl-certfile", "ssl-ca-certs", "ssl-cert-reqs", "ssl-ciphers", "enable-ssl-refresh", "uds"),
    }
)
"""Arguments of vLLM's HTTP server (vllm/entrypoints/common/cli_args.py), which does not run here: its engine does."""

SECRETS = frozenset({"api-key", "hf-token", "ssl-keyfile"})

COUNTED_OTHERWISE = frozenset({"kv-cache-dtype", "max-num-batched-tokens", "cpu-offload-gb", "swap-space"})
"""Arguments that change memory in a way that the plan does not count."""


_NAME = re.compile(r"[a-z][a-z0-9.-]*")


def passed_on(arguments: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """Those that vLLM's engine is told beside what the plan decides."""
    elsewhere = {TENSOR, UTILIZATION, *OF_THE_SERVER}
    return {name: value for name, value in arguments.items() if name not in elsewhere}


def argument_problems(workspace: WorkspaceSpec, place: Place) -> list[Problem]:
    """What may not be passed on. `place` is the workspace's."""
    arguments = workspace.inference.config.vllm if workspace.inference else {}
    here = place.at("inference", "config", "vllm")
    if arguments and workspace.engine == "transformers":
        return [
            here.problem(
                found="arguments of vLLM with engine: transformers",
                allowed="arguments with engine vllm",
                do="remove vllm, or write engine: vllm",
            )
        ]
    problems = [_problem(name, here.at(name)) for name in arguments]
    return [
        *(problem for problem in problems if problem),
        *_utilization(arguments.get(UTILIZATION), here),
        *_tensor(arguments.get(TENSOR), here),
    ]


def _problem(name: str, here: Place) -> Problem | None:
    plain = name.lstrip("-").replace("_", "-")
    if plain in SECRETS:
        return here.problem(
            found=f"{plain}, which holds a secret",
            allowed="no secret in the config: it would stand in the state and on a command line",
            do="remove it; a token for the hub is named by preset.presetOptions.modelAccessSecret",
        )
    if not _NAME.fullmatch(plain):
        return here.problem(found=shown(name), allowed="the name of an argument of vLLM", do="remove it")
    if plain == "trust-remote-code":
        allowed = "no code that comes with a model: it is never run here"
        return here.problem(found=plain, allowed=allowed, do="remove it, or choose a model that needs none")
    if plain in OWN_FIELDS:
        field = OWN_FIELDS[plain]
        return here.problem(found=plain, allowed=f"{field}, which the plan counts with", do=f"write {field} instead")
    if plain in DECIDED:
        return here.problem(
            found=plain,
            allowed="arguments that the plan does not decide",
            do="remove it; the plan says what it will be",
        )
    if plain != name:
        return here.problem(found=f'"{name}"', allowed="names as vLLM's documentation has them", do=f"write {plain}")
    return None


def _tensor(value: object, here: Place) -> list[Problem]:
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
        return []
    return [here.at(TENSOR).problem(found=shown(value), allowed="a whole number of GPUs, at least 1", do="write 1")]


def _utilization(value: object, here: Place) -> list[Problem]:
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 1):
        return []
    allowed = "a number above 0, at most 1: a part of the GPU's memory"
    return [here.at(UTILIZATION).problem(found=shown(value), allowed=allowed, do="write 0.9")]
