"""The trainer's run itself: this process's part of it, where there are several."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import datasets
import torch
from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase, PrinterCallback, TrainerState, set_seed
from transformers.trainer import TRAINER_STATE_NAME
from trl.trainer.sft_trainer import SFTTrainer

from presets.tuning_job import TuningJob, TuningProgress
from tuning.data.rows import Data
from tuning.errors import TuningError
from tuning.progress import Say
from tuning.training import memory
from tuning.training.checkpoints import Checkpoints, step_of
from tuning.training.labels import examples
from tuning.training.settings import lora_config, sft_config
from tuning.training.watching import Watch


@dataclass(frozen=True, kw_only=True)
class Fitted:
    model: PeftModel
    is_first: bool
    """Of the processes, as to who writes files."""
    said: dict[str, Any]
    """Fields of trained.Training, but for adapter_digest."""


def fit(
    job: TuningJob,
    data: Data,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    checkpoints: Checkpoints,
    say: Say,
) -> Fitted:
    """From the newest whole checkpoint to the last step. Raises TuningError, and what libraries raise."""
    memory.begin()
    begun = time.monotonic()
    checkpoint = checkpoints.newest()
    if checkpoint is not None:
        step = step_of(checkpoint)
        say(TuningProgress(phase="training", message=f"goes on from the checkpoint of step {step}", step=step))
        state = TrainerState.load_from_json(str(checkpoint / TRAINER_STATE_NAME))
        if state.global_step >= state.max_steps:
            # the trainer would take one more step
            return _fitted(PeftModel.from_pretrained(model, str(checkpoint)), state, 0.0, begun)
    set_seed(job.seed)
    watch = Watch(job, checkpoints, say)
    with _deterministic():
        trainer = _trainer(job, data, model, tokenizer, checkpoints, watch, say)
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    adapted = cast("PeftModel", trainer.model)
    if job.gradient_checkpointing:
        cast("PreTrainedModel", adapted.get_base_model()).activation_checkpointing_disable()
    return _fitted(adapted, trainer.state, watch.tokens_per_second, begun)


def _fitted(model: PeftModel, state: TrainerState, tokens_per_second: float, begun: float) -> Fitted:
    return Fitted(
        model=model,
        is_first=os.environ.get("RANK", "0") == "0",
        said={
            "losses": tuple(
                (int(each["step"]), round(each["loss"], 6)) for each in state.log_history if "loss" in each
            ),
            "steps": state.global_step,
            "tokens_per_second": round(tokens_per_second, 1),
            "peak_bytes": memory.peak_bytes(),
            "seconds": round(time.monotonic() - begun, 1),
        },
    )


def _trainer(
    job: TuningJob,
    data: Data,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    checkpoints: Checkpoints,
    watch: Watch,
    say: Say,
) -> SFTTrainer:
    datasets.disable_progress_bars()
    given = examples(job, data, tokenizer)
    if given.remark:
        say(TuningProgress(phase="training", message=given.remark))
    arguments = sft_config(
        job,
        checkpoints.directory,
        on_gpu=torch.cuda.is_available(),
        assistant_only=given.assistant_only,
        completion_only=data.kind == "completion" and job.assistant_only_loss,
    )
    try:
        trainer = SFTTrainer(
            model=model,
            args=arguments,
            train_dataset=given.rows,
            processing_class=tokenizer,
            peft_config=lora_config(job),
            callbacks=[watch],
        )
    except (ValueError, ImportError) as error:
        raise TuningError("InvalidTrainingArguments", f"{error}: correct tuning.config") from error
    trainer.remove_callback(PrinterCallback)  # the watch tells the same, for people
    for parameter in cast("PeftModel", trainer.model).parameters():
        if parameter.requires_grad:
            # trl makes bfloat16 of an adapter over quantized weights, in which small steps of AdamW are lost; peft's
            # own type is what presets.tuning_memory counts
            parameter.data = parameter.data.float()
    return trainer


@contextmanager
def _deterministic() -> Iterator[None]:
    """The same sums in the same order from run to run, where torch can do so: where it cannot, it warns."""
    before = torch.are_deterministic_algorithms_enabled()
    only_warns = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=only_warns)
