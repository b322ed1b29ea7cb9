"""Tunings of this machine: the job that a config asks for, its place beside what is served, and what a change does."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from components.planning.errors import SpecError
from components.planning.preview import Before, preview, refusals
from components.planning.render import application_config
from components.planning.tuning_changes import Tuned, with_adapters
from presets.tuning_job import TuningJob
from tests.planning.builders import LAPTOP, ONE_GPU, plan_of, problem_of, table_of

INPUT = "input: {urls: ['https://example.com/data.parquet']}"


def tuning(more: str = INPUT, *, method: str = "lora") -> str:
    return (
        f"workspaces: [{{name: learn, tuning: {{preset: {{name: smollm2-135m-instruct}}, method: {method}, {more}}}}}]"
    )


def job_of(text: str) -> TuningJob:
    (plan,) = plan_of(text).tunings
    return plan.job


CHAIN = """
workspaces:
  - name: learn
    tuning: {preset: {name: smollm2-135m-instruct}, method: lora, input: {dataset: 'file:/data/facts.jsonl'}}
  - name: chat
    inference:
      preset: {name: smollm2-135m-instruct}
      adapters: [{source: {name: facts, tuning: learn}}]
"""
DIRECTORY = "/srv/adapters/0123456789ab"


def before(text: str = CHAIN, *, drift: str = "") -> Before:
    """What an update of the chain has left."""
    plan = plan_of(text)
    promoted = f"file:{DIRECTORY}"
    (learn,), (chat,) = plan.tunings, plan.workspaces
    return Before(
        applications={"chat": with_adapters(application_config(chat), {"learn": promoted}, {})},
        tuned={
            "learn": Tuned(
                job=learn.job.model_dump(mode="json"), drift=drift, promoted=promoted, versions="/srv/adapters"
            )
        },
    )


def changes(text: str, left: Before) -> dict[str, str]:
    return {row.name: row.change for row in preview(plan_of(text), left, stack="dev").workspaces}


def test_kaito_s_defaults_are_those_of_a_tuning_that_says_nothing() -> None:
    job = job_of(tuning())
    assert (job.lora.rank, job.lora.alpha, job.lora.dropout) == (8, 8, 0)
    assert job.epochs == 3
    assert job.batch_size == 1
    assert job.quantization is None
    assert job.dtype == "bfloat16"


def test_qlora_is_four_bits_in_nf4_quantized_twice() -> None:
    quantization = job_of(tuning(method="qlora")).quantization
    assert quantization is not None
    assert (quantization.bits, quantization.kind, quantization.double) == (4, "nf4", True)


def test_kaito_s_sections_come_to_the_job() -> None:
    config = """config: {
      ModelConfig: {torch_dtype: float32, local_files_only: true},
      LoraConfig: {r: 16, lora_alpha: 32, lora_dropout: 0.05, target_modules: [q_proj], use_dora: true, bias: none,
                   modules_to_save: [lm_head]},
      TrainingArguments: {output_dir: /mnt/results, num_train_epochs: 1, max_length: 256, save_steps: 7,
                          per_device_train_batch_size: 4, learning_rate: 0.001, save_strategy: 'no'},
      DatasetConfig: {shuffle_seed: 7, context_column: question, response_column: answer}
    }"""
    job = job_of(tuning(f"{INPUT}, {config}"))
    assert job.dtype == "float32"
    assert (job.lora.rank, job.lora.alpha, job.lora.dropout, job.lora.dora) == (16, 32, 0.05, True)
    assert job.lora.target_modules == ("q_proj",)
    assert job.lora.arguments == {"modules_to_save": ["lm_head"]}
    assert (job.epochs, job.max_length, job.batch_size, job.checkpoint_steps) == (1, 256, 4, 7)
    assert job.training == {"learning_rate": 0.001}
    assert (job.data.shuffle_seed, job.data.context_column, job.data.response_column) == (7, "question", "answer")


def test_what_is_ours_goes_before_kaito_s() -> None:
    config = "config: {TrainingArguments: {seed: 1, max_steps: 5, packing: false}}"
    job = job_of(tuning(f"{INPUT}, {config}, seed: 2, maxSteps: 6, packing: true, resume: false"))
    assert (job.seed, job.max_steps, job.packing, job.resume) == (2, 6, True, False)


def test_the_digest_is_that_of_the_adapter_and_not_of_where_it_is_made() -> None:
    job = job_of(tuning())
    assert job.digest == job.model_copy(update={"directory": "/elsewhere", "resume": False}).digest
    assert job.digest != job.model_copy(update={"seed": 7}).digest


def test_a_value_that_the_trainer_would_refuse_is_refused_where_it_is_read() -> None:
    problem = problem_of(tuning(f"{INPUT}, config: {{LoraConfig: {{lora_dropout: 1.5}}}}"))
    assert problem.path == "modelyard:workspaces[0].tuning.config.LoraConfig.lora_dropout"
    assert "1.5" in problem.found


def test_the_plan_shows_a_tuning_with_its_memory() -> None:
    table = table_of(plan_of(CHAIN))
    assert "learn" in table
    (row,) = [row for row in preview(plan_of(CHAIN), Before(), stack="dev").workspaces if row.kind == "tuning"]
    assert row.memory is not None
    assert row.memory.needed == plan_of(CHAIN).tunings[0].job.planned_bytes


def test_what_does_not_fit_beside_what_is_served_is_refused() -> None:
    small = replace(LAPTOP, memory_bytes=7 * 2**30)
    with pytest.raises(SpecError, match="by learn"):
        plan_of(CHAIN, machine=small)


def test_a_gpu_that_a_model_has_is_no_place_for_a_tuning() -> None:
    with pytest.raises(SpecError, match="2 GPUs wanted"):
        plan_of(CHAIN, machine=ONE_GPU)


def test_nothing_changed_is_no_change_for_both() -> None:
    assert changes(CHAIN, before()) == {"learn": "no change", "chat": "no change"}


def test_other_data_tune_again_and_bring_another_adapter() -> None:
    told = changes(CHAIN.replace("facts.jsonl", "more.jsonl"), before())
    assert told["learn"].startswith("new input → the tuning job runs again")
    assert told["chat"] == "in place: adapters"


def test_data_that_a_refresh_has_found_changed_tune_again() -> None:
    told = changes(CHAIN, before(drift="the training data have changed"))
    assert told["learn"] == "the training data have changed → the tuning job runs again"
    assert told["chat"] == "in place: adapters"


def test_a_version_takes_an_adapter_back() -> None:
    back = CHAIN.replace("tuning: learn}", "tuning: learn, version: ba9876543210}")
    assert changes(back, before()) == {"learn": "no change", "chat": "in place: adapters"}
    application = with_adapters(application_config(plan_of(back).workspaces[0]), {}, {"learn": "/srv/adapters"})
    assert "file:/srv/adapters/ba9876543210" in json.dumps(application)


def test_a_rank_that_the_server_has_no_room_for_is_refused() -> None:
    problem = problem_of(CHAIN.replace("input:", "config: {LoraConfig: {r: 32}}, input:"))
    assert problem.path == "modelyard:workspaces[1].inference.adapters[0].source.tuning"
    assert "rank: 32" in problem.do


def test_a_workspace_that_serves_cannot_become_one_that_tunes() -> None:
    left = Before(records={"learn": {"name": "learn", "target": "local", "kind": "inference"}})
    (problem,) = refusals(plan_of(tuning()), left)
    assert "what is deployed under this name is inference" in problem.found
