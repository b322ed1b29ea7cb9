"""What a job's settings become in the classes of peft, bitsandbytes and trl, and what these refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from trl.trainer.sft_config import SFTConfig

from presets.tuning_job import TuningJob
from tests.tuning.jobs import job
from tuning.errors import TuningError
from tuning.training.settings import lora_config, quantization_config, sft_config


def trainer_settings(asked: TuningJob) -> SFTConfig:
    return sft_config(asked, Path(asked.directory), on_gpu=False, assistant_only=False, completion_only=True)


def test_variants_of_lora_are_peft_s(tmp_path: Path) -> None:
    lora = {"rank": 4, "target_modules": ["q_proj"], "rslora": True, "dora": True, "arguments": {"bias": "lora_only"}}
    made = lora_config(job(tmp_path, lora=lora))
    assert (made.use_rslora, made.use_dora, made.bias) == (True, True, "lora_only")


def test_the_plan_s_choices_stand_over_kaito_s_arguments(tmp_path: Path) -> None:
    training = {"per_device_train_batch_size": 16, "auto_find_batch_size": True, "weight_decay": 0.1}
    made = trainer_settings(job(tmp_path, training=training))
    assert (made.per_device_train_batch_size, made.auto_find_batch_size, made.weight_decay) == (2, False, 0.1)
    assert (made.max_steps, made.max_length, made.report_to) == (4, 64, [])


def test_a_number_that_yaml_has_read_as_text_is_a_number(tmp_path: Path) -> None:
    assert trainer_settings(job(tmp_path, training={"learning_rate": "1e-4"})).learning_rate == 1e-4


def test_nothing_is_sent_anywhere_and_every_checkpoint_can_be_gone_on_from(tmp_path: Path) -> None:
    training = {"report_to": "wandb", "push_to_hub": True, "save_only_model": True, "packing_strategy": "wrapped"}
    made = trainer_settings(job(tmp_path, training=training))
    assert (made.report_to, made.push_to_hub, made.save_only_model) == ([], False, False)
    assert made.packing_strategy == "bfd"


@pytest.mark.parametrize(
    ("training", "words"),
    [
        ({"learnin_rate": 1e-3}, "TrainingArguments has no field learnin_rate: write learning_rate"),
        ({"zzz": 1}, "TrainingArguments has no field zzz: leave it out"),
        ({"learning_rate": "fast"}, "TrainingArguments.learning_rate is 'fast': input should be a valid number"),
        ({"warmup_steps": [1]}, "TrainingArguments.warmup_steps is [1]"),
        ({"optim": "adamm"}, "adamm is not a valid OptimizerNames"),
        ({"lr_scheduler_type": "cosin"}, "cosin is not a valid SchedulerType"),
    ],
)
def test_training_arguments_that_trl_does_not_know_are_refused(
    training: dict[str, Any], words: str, tmp_path: Path
) -> None:
    with pytest.raises(TuningError) as error:
        trainer_settings(job(tmp_path, training=training))
    assert error.value.reason == "InvalidTrainingArguments"
    assert words in error.value.message


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"layers_to_transfrom": [1]}, "LoraConfig has no field layers_to_transfrom: write layers_to_transform"),
        ({"bias": "some"}, "LoraConfig.bias is 'some'"),
        ({"layers_to_transform": "first"}, "LoraConfig.layers_to_transform is 'first'"),
    ],
)
def test_arguments_that_peft_does_not_know_are_refused(arguments: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(TuningError) as error:
        lora_config(job(tmp_path, lora={"rank": 4, "target_modules": ["q_proj"], "arguments": arguments}))
    assert error.value.reason == "InvalidTrainingArguments"
    assert words in error.value.message


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"bnb_4bit_quant_storag": "uint8"}, "write bnb_4bit_quant_storage"),
        ({"llm_int8_threshold": "six"}, "QuantizationConfig"),
    ],
)
def test_arguments_that_bitsandbytes_does_not_know_are_refused(
    arguments: dict[str, Any], words: str, tmp_path: Path
) -> None:
    with pytest.raises(TuningError) as error:
        quantization_config(job(tmp_path, method="qlora", quantization={"arguments": arguments}))
    assert error.value.reason == "InvalidTrainingArguments"
    assert words in error.value.message
