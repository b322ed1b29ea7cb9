"""What a training leaves in the job's directory, and whether an earlier process has left it there already."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from peft import PeftModel
from transformers import PreTrainedTokenizerBase

from presets.tuning_job import TuningJob
from tuning.data.rows import Data
from tuning.data.template import chat_template

ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")
TRAINED = "trained"
"""Directory of the adapter, below the job's."""
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
class Trained(Training):
    """A finished training and the model with its adapter, which `with model.disable_adapter()` leaves out."""

    model: PeftModel
    tokenizer: PreTrainedTokenizerBase
    adapter_directory: Path
    """With ADAPTER_FILES."""

    @property
    def training(self) -> Training:
        """Without the model, as reports write it."""
        return Training(**{field.name: getattr(self, field.name) for field in fields(Training)})


def key_of(job: TuningJob, data: Data, weights_digest: str) -> str:
    """A digest of all that a training follows from: what is in the files, and not where they lie."""
    settings = job.model_dump(mode="json", exclude={"output", "evaluation", "directory", "planned_bytes", "resume"})
    del settings["data"], settings["checkpoint_steps"], settings["checkpoint_minutes"]
    rows = hashlib.sha256(json.dumps([data.kind, *map(dict, data.train)], sort_keys=True).encode()).hexdigest()
    return hashlib.sha256(
        json.dumps([settings, chat_template(job), rows, weights_digest], sort_keys=True).encode()
    ).hexdigest()


def keep(model: PeftModel, job: TuningJob, key: str, said: dict[str, Any]) -> Training:
    """Write the adapter into the directory TRAINED, which is there with all its files or not at all.

    `said`: the fields of Training but for adapter_digest.
    """
    finished = Path(job.directory) / TRAINED
    making = finished.with_name(f"{TRAINED}.partial")
    shutil.rmtree(making, ignore_errors=True)
    model.save_pretrained(str(making))
    _settle(making / ADAPTER_FILES[0], job.weights.removeprefix("hf:"))
    for name in ADAPTER_FILES:
        (making / name).chmod(0o644)  # peft writes the weights 0600, which a server under another user cannot read
    training = Training(adapter_digest=_digest(making), **said)
    (making / _RECORD).write_text(json.dumps({"key": key, "training": asdict(training)}), encoding="utf-8")
    shutil.rmtree(finished, ignore_errors=True)
    making.rename(finished)
    return training


def kept(job: TuningJob, key: str) -> Training | None:
    """What an earlier process has kept; None where that was another training, or its adapter is not as it was."""
    finished = Path(job.directory) / TRAINED
    try:
        record: dict[str, Any] = json.loads((finished / _RECORD).read_text(encoding="utf-8"))
        if record.get("key") != key or record["training"]["adapter_digest"] != _digest(finished):
            return None
        known = record["training"]
        training = Training(**{**known, "losses": tuple((step, loss) for step, loss in known["losses"])})
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return training if all((finished / name).is_file() for name in ADAPTER_FILES) else None


def trained(training: Training, model: PeftModel, tokenizer: PreTrainedTokenizerBase, job: TuningJob) -> Trained:
    return Trained(
        model=model.eval(), tokenizer=tokenizer, adapter_directory=Path(job.directory) / TRAINED, **vars(training)
    )


def _settle(config: Path, base: str) -> None:
    """peft names the base by its directory on this machine, and asks the hub for any other name while it saves; it
    has the targets in any order."""
    written: dict[str, Any] = json.loads(config.read_text(encoding="utf-8"))
    if isinstance(written["target_modules"], list):
        written["target_modules"].sort()
    written["base_model_name_or_path"] = base
    config.write_text(json.dumps(written, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _digest(directory: Path) -> str:
    with (directory / ADAPTER_FILES[1]).open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
