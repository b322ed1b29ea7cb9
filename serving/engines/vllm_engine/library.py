"""All that is known of the vllm package, which has no place in the locked environment and so no types here.

Written against vLLM 0.32 and 0.33: vllm/v1/engine/async_llm.py, vllm/sampling_params.py, vllm/outputs.py,
vllm/lora/request.py.
"""

from __future__ import annotations

import atexit
import functools
import importlib
import json
import os
import shutil
import tempfile
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

from serving.engines.vllm_engine.arguments import Arguments
from serving.engines.vllm_engine.guard import end_children_with_this_process
from serving.errors import StartupFailure

_BYTES = {"bfloat16": 2, "float16": 2, "fp8": 1, "fp8_e4m3": 1, "fp8_e5m2": 1}
"""Of a number in the cache, by vLLM's name of the type; "auto" is the model's."""


@dataclass(frozen=True, kw_only=True)
class Load:
    """What the scheduler reports after a step."""

    running: int
    waiting: int
    kv_cache_usage: float
    """From 0 to 1."""


class LogprobLike(Protocol):
    logprob: float
    rank: int | None


class CompletionLike(Protocol):
    """vllm.outputs.CompletionOutput, with the tokens since the last one."""

    token_ids: Sequence[int]
    logprobs: Sequence[Mapping[int, LogprobLike]] | None
    finish_reason: str | None


class OutputLike(Protocol):
    """vllm.outputs.RequestOutput."""

    outputs: Sequence[CompletionLike]
    num_cached_tokens: int | None
    """Of the prompt, those that were not computed."""


class RunningLlm(Protocol):
    """vLLM's AsyncLLM."""

    @property
    def errored(self) -> bool:
        """Whether its processes are gone."""
        ...

    def generate(
        self,
        prompt: object,
        sampling_params: object,
        request_id: str,
        *,
        lora_request: object | None = None,
    ) -> AsyncGenerator[OutputLike, None]: ...

    async def abort(self, request_id: list[str]) -> None: ...

    async def add_lora(self, lora_request: object) -> bool: ...

    async def remove_lora(self, lora_id: int) -> bool: ...

    def shutdown(self) -> None: ...


class Library(Protocol):
    """What the engine uses of vLLM. `VllmLibrary` is the real one."""

    def start(self, arguments: Arguments, report: Callable[[Load], None]) -> RunningLlm:
        """Blocks until the model is loaded. `report` is called on the event loop after each step."""
        ...

    def sampling_params(self, fields: Mapping[str, Any]) -> object: ...

    def lora_request(self, name: str, number: int, path: Path) -> object: ...

    def is_death(self, error: Exception) -> bool:
        """Whether the error of a request says that vLLM's processes are gone."""
        ...

    def kv_cache_bytes(self, llm: RunningLlm) -> int:
        """What the cache may hold; 0 where that cannot be told."""
        ...

    def pid(self, llm: RunningLlm) -> int | None:
        """Of the process with the scheduler."""
        ...

    def log_of_start(self) -> str:
        """The errors that vLLM's processes have logged, whose exceptions name no cause."""
        ...


def load_library() -> Library:
    """vLLM. Raises StartupFailure where it is not installed or cannot be imported."""
    library = VllmLibrary()
    try:
        library.import_all()
    except ModuleNotFoundError as error:
        if error.name == "vllm":
            raise StartupFailure(
                "EngineNotInstalled",
                "engine: vllm needs the vllm package, which this Python has not; use an image that has it (see "
                "docs/engines.md), or engine: transformers",
            ) from error
        raise StartupFailure(
            "EngineNotInstalled", f"vLLM lacks {error.name}; install it, or use another image"
        ) from error
    except ImportError as error:
        raise StartupFailure(
            "EngineNotInstalled", f"vLLM cannot be imported ({error}); its build has to fit torch and the driver"
        ) from error
    return library


class VllmLibrary:
    """The installed vLLM."""

    def __init__(self) -> None:
        self._errors = _log_folder() / "errors.log"
        self._errors_before = 0
        self._sampling: Any = None
        self._lora: Any = None
        self._dead: Any = None

    def import_all(self) -> None:
        self._prepare_environment()
        importlib.import_module("vllm")
        self._sampling = importlib.import_module("vllm.sampling_params")
        self._lora = importlib.import_module("vllm.lora.request")
        self._dead = importlib.import_module("vllm.v1.engine.exceptions").EngineDeadError

    def start(self, arguments: Arguments, report: Callable[[Load], None]) -> RunningLlm:
        self._errors_before = self._errors.stat().st_size if self._errors.exists() else 0
        end_children_with_this_process()
        engine_args = importlib.import_module("vllm.engine.arg_utils").AsyncEngineArgs(**arguments)
        async_llm = importlib.import_module("vllm.v1.engine.async_llm").AsyncLLM
        return async_llm.from_engine_args(engine_args, stat_loggers=[lambda *_: _LoadLogger(report)])

    def sampling_params(self, fields: Mapping[str, Any]) -> object:
        known = dict(fields)
        if grammar := known.pop("structured_outputs", None):
            known["structured_outputs"] = self._sampling.StructuredOutputsParams(**grammar)
        return self._sampling.SamplingParams(
            **known,
            output_kind=self._sampling.RequestOutputKind.DELTA,
            # Text is made of tokens by the API.
            detokenize=False,
            skip_clone=True,
        )

    def lora_request(self, name: str, number: int, path: Path) -> object:
        return self._lora.LoRARequest(lora_name=name, lora_int_id=number, lora_path=str(path))

    def is_death(self, error: Exception) -> bool:
        return isinstance(error, self._dead)

    def kv_cache_bytes(self, llm: RunningLlm) -> int:
        """As if every layer kept every token; models with sliding or linear attention keep less of some."""
        config = cast(Any, llm).vllm_config
        cache, model = config.cache_config, config.model_config
        if cache.kv_cache_size_tokens is None or cache.cache_dtype not in ("auto", *_BYTES):
            return 0
        layers, heads = model.get_total_num_hidden_layers(), model.get_total_num_kv_heads()
        numbers = layers * heads * model.get_head_size() * (1 if model.use_mla else 2)
        return cache.kv_cache_size_tokens * numbers * _BYTES.get(cache.cache_dtype, model.dtype.itemsize)

    def pid(self, llm: RunningLlm) -> int | None:
        manager = cast(Any, llm).engine_core.resources.engine_manager
        processes = getattr(manager, "processes", None)  # with Ray there are actors instead
        return processes[0].pid if processes else None

    def log_of_start(self) -> str:
        if not self._errors.exists():
            return ""
        return self._errors.read_bytes()[self._errors_before :].decode(errors="replace")

    def _prepare_environment(self) -> None:
        """For the processes that vLLM starts, which read it when they import vllm. What is set already stays."""
        logging_config = self._errors.with_name("logging.json")
        logging_config.write_text(json.dumps(_logging_config(self._errors)))
        settings = {
            "HF_HUB_OFFLINE": "1",
            # Nothing is told to anybody of what runs here.
            "VLLM_NO_USAGE_STATS": "1",
            # The engine starts in a thread beside an event loop, and a fork would copy both halfway.
            "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
            "VLLM_LOGGING_CONFIG_PATH": str(logging_config),
        }
        for name, value in settings.items():
            os.environ.setdefault(name, value)


@functools.cache
def _log_folder() -> Path:
    """This process's, since its environment has one setting for all of its engines."""
    folder = Path(tempfile.mkdtemp(prefix="modelyard-vllm-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


class _LoadLogger:
    """Has the methods of vllm.v1.metrics.loggers.StatLoggerBase that are called."""

    def __init__(self, report: Callable[[Load], None]) -> None:
        self._report = report

    def record(self, scheduler_stats: Any, iteration_stats: Any, **_: Any) -> None:  # noqa: ANN401 - vLLM's own
        if scheduler_stats is not None:
            self._report(
                Load(
                    running=scheduler_stats.num_running_reqs,
                    waiting=scheduler_stats.num_waiting_reqs,
                    kv_cache_usage=scheduler_stats.kv_cache_usage,
                )
            )

    def log(self) -> None: ...

    def log_engine_initialized(self) -> None: ...

    def record_sleep_state(self, *_: Any) -> None: ...  # noqa: ANN401 - vLLM's own


def _logging_config(errors: Path) -> dict[str, Any]:
    """vLLM's log as it is by default, with its errors in a file beside."""
    line = "%(asctime)s %(levelname)s %(name)s: %(message)s"
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"format": line}},
        "handlers": {
            "stderr": {"class": "logging.StreamHandler", "formatter": "line", "level": "INFO"},
            "errors": {
                "class": "logging.FileHandler",
                "filename": str(errors),
                "formatter": "line",
                "level": "ERROR",
                "delay": True,
            },
        },
        "loggers": {"vllm": {"handlers": ["stderr", "errors"], "level": "INFO", "propagate": False}},
    }
