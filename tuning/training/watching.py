"""The trainer's own callbacks, as what people are told and as what ends a training that makes nothing."""

from __future__ import annotations

import math
import time
from typing import Any

from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from presets.tuning_job import TuningJob, TuningProgress
from tuning.progress import Say
from tuning.training.checkpoints import Checkpoints
from tuning.training.failures import loss_not_finite

_SECONDS_BETWEEN_WORDS = 1.0


class Watch(TrainerCallback):
    """Tells each step, at most one a second; has checkpoints written and marked; ends what has no finite loss."""

    def __init__(self, job: TuningJob, checkpoints: Checkpoints, say: Say) -> None:
        self.tokens_per_second = 0.0
        """Of the steps of this process."""
        self._job = job
        self._checkpoints = checkpoints
        self._say = say
        self._begun = self._told = self._saved = time.monotonic()
        self._first_step = 0
        self._first_tokens: float | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        self._begun = self._saved = time.monotonic()
        self._first_step = state.global_step

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **_: object,
    ) -> None:
        if logs is None or "loss" not in logs:
            return
        step, steps, loss, now = state.global_step, state.max_steps, float(logs["loss"]), time.monotonic()
        if not math.isfinite(loss):
            raise loss_not_finite(self._job, step, loss, args.learning_rate)
        tokens = float(logs.get("num_tokens", 0))
        if self._first_tokens is None:
            # The first step is slower than those that follow, and nothing is known of it but its end.
            self._first_tokens, self._begun, self._first_step = tokens, now, step
        elif now > self._begun:
            self.tokens_per_second = (tokens - self._first_tokens) / (now - self._begun)
        if now - self._told < _SECONDS_BETWEEN_WORDS and step != steps:
            return
        self._told = now
        done = step - self._first_step
        self._say(
            TuningProgress(
                phase="training",
                message=f"step {step} of {steps}",
                step=step,
                steps=steps,
                loss=round(loss, 4),
                tokens_per_second=round(self.tokens_per_second, 1) or None,
                eta_seconds=round((now - self._begun) / done * (steps - step), 1) if done else None,
            )
        )

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        due = [time.monotonic() - self._saved > self._job.checkpoint_minutes * 60]
        if PartialState().num_processes > 1:
            broadcast_object_list(due)  # a checkpoint is written by all processes or by none
        if due[0]:
            control.should_save = True

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        PartialState().wait_for_everyone()  # each process has files of its own in it
        if state.is_world_process_zero:
            self._checkpoints.finish(state.global_step)
        self._saved = time.monotonic()
