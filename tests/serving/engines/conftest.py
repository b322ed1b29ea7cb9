"""Engines over tiny models, in this process."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from presets.serve_config import ADAPTER_COPIES_BYTES
from serving.engines.transformers_engine.engine import DRAFT_ROWS, TransformersEngine
from serving.engines.transformers_engine.loading import load_model
from serving.engines.transformers_engine.schedule import PromptBudget
from tests.serving.engines.tiny_models import CONTEXT, FAMILIES, save

SMALL_CHUNKS = PromptBudget(beside_decoding=7, alone=16)
"""So small that even short prompts are cut."""

needs_kernels = pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64") or shutil.which("c++") is None,
    reason="the CPU kernels are compiled on x86-64, where there is a C++ compiler",
)
"""Where there is one they have to be there: a test that is skipped would hide that they no longer compile."""

BuildEngine = Callable[..., TransformersEngine]


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Tensors of 64 numbers are not worth a second thread, which waits for the first on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def tiny_dir(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The directory of a family's tiny model, written once."""
    root = tmp_path_factory.mktemp("tiny-models")

    def directory(family: str) -> Path:
        path = root / family
        return path if path.exists() else save(FAMILIES[family](), path)

    return directory


@pytest.fixture(scope="session")
def poisoned_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A llama whose token POISON has an embedding of NaN."""
    return save(FAMILIES["llama"](), tmp_path_factory.mktemp("poisoned-llama"), poisoned=True)


@pytest.fixture
def build(tiny_dir: Callable[[str], Path]) -> BuildEngine:
    """An engine in this process over a family's tiny model, or over the model in `model_dir`.

    recorded: its steps run as a record, as they do in a service; without, through transformers' modules.
    draft_rows: as the engine has it; left to itself it would draft nothing here, since models in float32 do not gain.
    """

    def make(
        family: str = "llama",
        *,
        model_dir: Path | None = None,
        max_sequences: int = 4,
        max_context: int = CONTEXT,
        prompt_budget: PromptBudget | None = SMALL_CHUNKS,
        draft_rows: int = DRAFT_ROWS,
        adapter_memory_bytes: int = ADAPTER_COPIES_BYTES,
        recorded: bool = True,
    ) -> TransformersEngine:
        model = load_model(
            model_dir or tiny_dir(family),
            dtype="float32",
            device=torch.device("cpu"),
            max_context=max_context,
            trust_remote_code=False,
        )
        engine = TransformersEngine(
            model,
            max_sequences=max_sequences,
            max_context=max_context,
            prompt_budget=prompt_budget,
            draft_rows=draft_rows,
            adapter_memory_bytes=adapter_memory_bytes,
        )
        if recorded:
            engine.record_steps()
        return engine

    return make
