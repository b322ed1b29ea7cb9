"""Trainings of a real model: what is learnt, what is written, what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from presets.tuning_job import TuningJob, TuningProgress
from tests.tuning.jobs import data, job
from tuning.errors import TuningError
from tuning.training.model import load_model, load_tokenizer
from tuning.training.settings import lora_config, sft_config
from tuning.training.train import train
from tuning.training.trained import Trained

pytestmark = pytest.mark.slow

QUANTIZATION = {"bits": 4, "kind": "nf4", "double": True}


def trained(asked: TuningJob, weights: Path, said: list[TuningProgress] | None = None) -> Trained:
    directory = Path(asked.directory)
    say = (said if said is not None else []).append
    return train(asked, data(directory), load_model(asked, weights), load_tokenizer(asked, weights), say)


def test_a_training_lowers_the_loss_and_leaves_an_adapter_for_every_user(smollm2_dir: Path, tmp_path: Path) -> None:
    said: list[TuningProgress] = []
    made = trained(job(tmp_path), smollm2_dir, said)
    losses = [loss for _, loss in made.losses]
    assert losses[-1] < losses[0] - 0.5
    assert [step for step, _ in made.losses] == [1, 2, 3, 4]
    assert said[-1].step == said[-1].steps == 4
    files = {path.name: path for path in made.adapter_directory.iterdir()}
    assert files["adapter_model.safetensors"].stat().st_mode & 0o777 == 0o644
    written = json.loads(files["adapter_config.json"].read_text())
    assert (written["r"], written["lora_alpha"], sorted(written["target_modules"])) == (4, 8, ["down_proj", "v_proj"])
    assert not (tmp_path / "job" / "checkpoints").exists()


def test_the_same_job_makes_the_same_adapter_and_is_not_done_twice(smollm2_dir: Path, tmp_path: Path) -> None:
    first = trained(job(tmp_path / "a", max_steps=2), smollm2_dir)
    second = trained(job(tmp_path / "b", max_steps=2), smollm2_dir)
    assert first.adapter_digest == second.adapter_digest
    said: list[TuningProgress] = []
    again = trained(job(tmp_path / "a", max_steps=2), smollm2_dir, said)
    assert [each.message for each in said] == ["trained already, by an earlier run"]
    ids = torch.tensor([[1, 2, 3, 4]])
    with torch.no_grad():
        same = torch.allclose(again.model(input_ids=ids).logits, first.model(input_ids=ids).logits, atol=1e-4)
    assert same


def test_qlora_trains_weights_of_four_bits(smollm2_dir: Path, tmp_path: Path) -> None:
    asked = job(tmp_path, method="qlora", quantization=QUANTIZATION, max_steps=3)
    model = load_model(asked, smollm2_dir)
    assert model.get_memory_footprint() < 200e6, "135 million parameters in float32 are 538 MB"
    made = train(asked, data(tmp_path / "job"), model, load_tokenizer(asked, smollm2_dir), lambda _: None)
    losses = [loss for _, loss in made.losses]
    assert losses[-1] < losses[0]


def test_packed_rows_do_not_see_each_other(smollm2_dir: Path, tmp_path: Path) -> None:
    """The loss of a packed row is that of its parts, each on its own."""
    asked = job(tmp_path, packing=True, max_steps=1, batch_size=1, max_length=512)
    one = job(tmp_path / "one", max_steps=1, batch_size=10, max_length=512)
    packed, apart = trained(asked, smollm2_dir), trained(one, smollm2_dir)
    assert packed.losses[0][1] == pytest.approx(apart.losses[0][1], rel=2e-3)


@pytest.mark.parametrize(
    ("fields", "reason", "words"),
    [
        ({"training": {"learning_rate": 1e38}}, "LossNotFinite", "learning_rate"),
        ({"training": {"learnin_rate": 1e-3}}, "InvalidTrainingArguments", "write learning_rate"),
        (
            {"lora": {"rank": 4, "target_modules": ["qkv"]}},
            "InvalidTrainingArguments",
            "qkv",
        ),
        ({"dtype": "float16"}, "InvalidTrainingArguments", "float32 or bfloat16"),
        ({"chat_template": "/nowhere.jinja"}, "ChatTemplateMissing", "/nowhere.jinja"),
    ],
)
def test_what_makes_no_adapter_is_told(
    fields: dict[str, Any], reason: str, words: str, smollm2_dir: Path, tmp_path: Path
) -> None:
    with pytest.raises(TuningError) as error:
        trained(job(tmp_path, **fields), smollm2_dir)
    assert error.value.reason == reason
    assert words in error.value.message
    assert not (tmp_path / "job" / "trained").exists()


def test_variants_of_lora_are_peft_s(tmp_path: Path) -> None:
    lora = {"rank": 4, "target_modules": ["q_proj"], "rslora": True, "dora": True, "arguments": {"bias": "lora_only"}}
    made = lora_config(job(tmp_path, lora=lora))
    assert (made.use_rslora, made.use_dora, made.bias) == (True, True, "lora_only")


def test_the_plan_s_choices_stand_over_kaito_s_arguments(tmp_path: Path) -> None:
    training = {"per_device_train_batch_size": 16, "auto_find_batch_size": True, "weight_decay": 0.1}
    asked = job(tmp_path, training=training)
    made = sft_config(asked, tmp_path, on_gpu=False, assistant_only=False, completion_only=True)
    assert (made.per_device_train_batch_size, made.auto_find_batch_size, made.weight_decay) == (2, False, 0.1)
    assert (made.max_steps, made.max_length, made.report_to) == (4, 64, [])
