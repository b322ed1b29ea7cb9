"""One training, from rows to an adapter in the job's directory; what an earlier process has done is not done again."""

from __future__ import annotations

import hashlib
import json
import resource
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import datasets
import torch
from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase, PrinterCallback, set_seed
from trl.trainer.sft_trainer import SFTTrainer

from presets.tuning_job import TuningJob, TuningProgress
from tuning.data.rows import Data
from tuning.data.template import chat_template
from tuning.errors import TuningError
from tuning.progress import Say
from tuning.training.checkpoints import Checkpoints, step_of
from tuning.training.settings import lora_config, sft_config
from tuning.training.watching import Watch

ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")
_RECORD = "training.json"


@dataclass(frozen=True, kw_only=True)
class Training:
    """What there is to say of a finished training."""

    adapter_digest: str
    """`sha256:HEX` of adapter_model.safetensors."""
    losses: tuple[tuple[int, float], ...]
    """Step and loss."""
    steps: int
    tokens_per_second: float
    """Of the process that ended it."""
    peak_bytes: int
    """Of the GPU's memory, or of the process on a CPU."""
    seconds: float
    """Of the process that ended it."""


@dataclass(frozen=True, kw_only=True)
class Trained:
    """The model with its adapter, which `with model.disable_adapter()` leaves out."""

    model: PeftModel
    tokenizer: PreTrainedTokenizerBase
    adapter_directory: Path
    """With ADAPTER_FILES."""
    training: Training


def key_of(job: TuningJob, data: Data, weights_digest: str) -> str:
    """A digest of all that a training follows from: what is in the files, and not where they lie."""
    settings = job.model_dump(mode="json", exclude={"output", "evaluation", "directory", "planned_bytes", "resume"})
    del settings["data"], settings["checkpoint_steps"], settings["checkpoint_minutes"]
    rows = hashlib.sha256(json.dumps([data.kind, *map(dict, data.train)], sort_keys=True).encode()).hexdigest()
    return hashlib.sha256(
        json.dumps([settings, chat_template(job), rows, weights_digest], sort_keys=True).encode()
    ).hexdigest()


def train(
    job: TuningJob, data: Data, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, key: str, say: Say
) -> Trained:
    """`key` is that of key_of. Raises TuningError: InvalidTrainingArguments, also for targets that the model has not,
    and LossNotFinite; and what the libraries raise, for tuning.training.failures to explain."""
    directory = Path(job.directory)
    finished = directory / "trained"
    record = _finished(finished, key)
    if record is not None and job.resume:
        say(TuningProgress(phase="training", message="trained already, by an earlier run", step=record.steps))
        return _again(model, tokenizer, finished, record)
    checkpoints = Checkpoints(directory / "checkpoints", key)
    if not job.resume:
        checkpoints.remove()
    made = _train(job, data, model, tokenizer, checkpoints, say)
    trained = _kept(job, made, tokenizer, finished, key)
    checkpoints.remove()
    return trained


@dataclass(frozen=True, kw_only=True)
class _Made:
    model: PeftModel
    watch: Watch
    steps: int
    seconds: float


def _train(
    job: TuningJob,
    data: Data,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    checkpoints: Checkpoints,
    say: Say,
) -> _Made:
    set_seed(job.seed)
    datasets.disable_progress_bars()
    on_gpu = torch.cuda.is_available()
    watch = Watch(job, checkpoints, say)
    arguments = sft_config(job, data.kind, checkpoints.directory, on_gpu)
    try:
        trainer = SFTTrainer(
            model=model,
            args=arguments,
            train_dataset=datasets.Dataset.from_list([dict(row) for row in data.train]),
            processing_class=tokenizer,
            peft_config=lora_config(job),
            callbacks=[watch],
        )
    except (ValueError, ImportError) as error:
        raise TuningError("InvalidTrainingArguments", f"{error}: correct tuning.config") from error
    trainer.remove_callback(PrinterCallback)  # the watch tells the same, for people
    checkpoint = checkpoints.newest()
    if checkpoint is not None:
        step = step_of(checkpoint)
        say(TuningProgress(phase="training", message=f"goes on from the checkpoint of step {step}", step=step))
    begun = time.monotonic()
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    adapted = cast("PeftModel", trainer.model)
    adapted.eval()
    return _Made(model=adapted, watch=watch, steps=trainer.state.global_step, seconds=time.monotonic() - begun)


def _kept(job: TuningJob, made: _Made, tokenizer: PreTrainedTokenizerBase, finished: Path, key: str) -> Trained:
    """The adapter in its directory, which is there with all files or not at all."""
    making = finished.with_name(f"{finished.name}.partial")
    shutil.rmtree(making, ignore_errors=True)
    made.model.save_pretrained(str(making))
    _settle(making / ADAPTER_FILES[0], job.weights.removeprefix("hf:"))
    for name in ADAPTER_FILES:
        (making / name).chmod(0o644)  # peft writes the weights 0600, which a server under another user cannot read
    training = Training(
        adapter_digest=f"sha256:{hashlib.sha256((making / ADAPTER_FILES[1]).read_bytes()).hexdigest()}",
        losses=tuple((step, round(loss, 6)) for step, loss in made.watch.losses),
        steps=made.steps,
        tokens_per_second=round(made.watch.tokens_per_second, 1),
        peak_bytes=_peak_bytes(),
        seconds=round(made.seconds, 1),
    )
    (making / _RECORD).write_text(json.dumps({"key": key, "training": asdict(training)}), encoding="utf-8")
    shutil.rmtree(finished, ignore_errors=True)
    making.rename(finished)
    return Trained(model=made.model, tokenizer=tokenizer, adapter_directory=finished, training=training)


def _settle(config: Path, base: str) -> None:
    """peft names the base by its directory on this machine, and the targets in any order."""
    written: dict[str, Any] = json.loads(config.read_text(encoding="utf-8"))
    settled = {name: sorted(value) if isinstance(value, list) else value for name, value in written.items()}
    settled["base_model_name_or_path"] = base
    config.write_text(json.dumps(settled, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _peak_bytes() -> int:
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _finished(finished: Path, key: str) -> Training | None:
    try:
        record: dict[str, Any] = json.loads((finished / _RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if record.get("key") != key:
        return None
    known = record["training"]
    return Training(**{**known, "losses": tuple((step, loss) for step, loss in known["losses"])})


def _again(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, finished: Path, training: Training) -> Trained:
    adapted = PeftModel.from_pretrained(model, str(finished))
    adapted.eval()
    return Trained(model=adapted, tokenizer=tokenizer, adapter_directory=finished, training=training)
