"""Trainings of a real model: what is learnt, what is written, what is gone on with, what is refused."""

from __future__ import annotations

import errno
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from presets.tuning_job import OutputSettings, TuningJob, TuningProgress
from tests.tuning.jobs import data, job
from tuning.data.rows import Data
from tuning.errors import TuningError
from tuning.progress import Say
from tuning.training import train as training
from tuning.training.model import load_model, load_tokenizer
from tuning.training.train import train
from tuning.training.trained import Trained, kept, key_of

pytestmark = pytest.mark.slow

Whole = tuple[TuningJob, Trained, list[TuningProgress]]
"""A training that nothing has interrupted, and what it has said."""
LORA = {"rank": 4, "alpha": 8, "dropout": 0.1, "target_modules": ["v_proj", "down_proj"]}


class Interrupted(Exception):
    """As if the process ended."""


def trained(asked: TuningJob, weights: Path, say: Say = lambda _: None, rows: Data | None = None) -> Trained:
    given = rows or data(Path(asked.directory))
    key = key_of(asked, given, "sha256:0")
    return train(asked, given, load_model(asked, weights), load_tokenizer(asked, weights), key, say)


@pytest.fixture(scope="module")
def whole(smollm2_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    asked, said = job(tmp_path_factory.mktemp("whole"), lora=LORA), []
    return asked, trained(asked, smollm2_dir, said.append), said


def test_a_training_lowers_the_loss_and_leaves_an_adapter_for_every_user(
    whole: Whole,
) -> None:
    asked, made, said = whole
    losses = [loss for _, loss in made.losses]
    assert losses[-1] < losses[0] - 0.5
    assert [step for step, _ in made.losses] == [1, 2, 3, 4]
    assert (said[-1].message, said[-1].step, said[-1].steps) == ("step 4 of 4", 4, 4)
    assert made.tokens_per_second > 0
    assert 0.5e9 < made.peak_bytes < 8e9, "float32 weights are 538 MB"
    files = {path.name: path for path in made.adapter_directory.iterdir()}
    assert files["adapter_model.safetensors"].stat().st_mode & 0o777 == 0o644
    written = json.loads(files["adapter_config.json"].read_text())
    assert (written["r"], written["lora_alpha"], written["target_modules"]) == (4, 8, ["down_proj", "v_proj"])
    assert written["base_model_name_or_path"] == asked.weights, "a path on this machine helps nobody else"
    assert not Path(asked.directory, "checkpoints").exists()


def test_an_interrupted_training_makes_the_same_adapter_without_doing_a_step_twice(
    whole: Whole,
    smollm2_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Once in its last step, and once when all steps are done and the adapter is not written."""
    asked = job(tmp_path, lora=LORA, checkpoint_steps=2)

    def interrupt(progress: TuningProgress) -> None:
        if progress.step == 4:
            raise Interrupted

    with pytest.raises(Interrupted):
        trained(asked, smollm2_dir, interrupt)

    def disk_full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    said: list[TuningProgress] = []
    with monkeypatch.context() as patch:
        patch.setattr(training, "keep", disk_full)
        with pytest.raises(TuningError, match="NoSpace"):
            trained(asked, smollm2_dir, said.append)
    assert {each.step for each in said} == {2, 3, 4}
    assert said[0].message == "goes on from the checkpoint of step 2"

    said.clear()
    made = trained(asked, smollm2_dir, said.append)
    assert [each.message for each in said] == ["goes on from the checkpoint of step 4"]
    assert made.adapter_digest == whole[1].adapter_digest
    assert made.losses == whole[1].losses


def test_a_finished_training_is_not_done_again_unless_that_is_asked(whole: Whole, smollm2_dir: Path) -> None:
    asked, made, _ = whole
    said: list[TuningProgress] = []
    again = trained(asked, smollm2_dir, said.append)
    assert [each.message for each in said] == ["trained already, by an earlier run"]
    assert again.training == made.training
    ids = torch.tensor([[1, 2, 3, 4]])
    with torch.no_grad():
        same = torch.allclose(again.model(input_ids=ids).logits, made.model(input_ids=ids).logits, atol=1e-4)
    assert same


def test_an_adapter_that_somebody_has_changed_is_not_taken_for_the_job_s(whole: Whole, tmp_path: Path) -> None:
    asked, made, _ = whole
    copy = asked.model_copy(update={"directory": str(tmp_path)})
    key = key_of(copy, data(tmp_path), "sha256:0")
    folder = tmp_path / "trained"
    folder.mkdir()
    for file in made.adapter_directory.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    assert kept(copy, key) == made.training
    assert kept(copy, "of another training") is None
    (folder / "adapter_model.safetensors").write_bytes(b"something else")
    assert kept(copy, key) is None


def test_another_model_or_other_rows_are_another_training(tmp_path: Path) -> None:
    asked, rows = job(tmp_path), data(tmp_path)
    key = key_of(asked, rows, "sha256:0")
    assert key_of(asked, rows, "sha256:1") != key
    assert key_of(asked, replace(rows, train=rows.train[1:]), "sha256:0") != key
    elsewhere = asked.model_copy(update={"directory": "/elsewhere", "output": OutputSettings(image="a/b:1")})
    assert key_of(elsewhere, rows, "sha256:0") == key


def test_answers_of_a_conversation_are_learnt_as_those_of_a_question(
    whole: Whole, smollm2_dir: Path, tmp_path: Path
) -> None:
    pairs = data(tmp_path)
    rows = tuple({"messages": [*row["prompt"], *row["completion"]]} for row in pairs.train)
    chats = replace(pairs, kind="conversation", train=rows)
    made = trained(job(tmp_path, lora=LORA, max_steps=1), smollm2_dir, rows=chats)
    assert made.losses[0][1] == pytest.approx(whole[1].losses[0][1], rel=1e-4)


def test_qlora_trains_weights_of_four_bits(smollm2_dir: Path, tmp_path: Path) -> None:
    asked = job(tmp_path, method="qlora", quantization={"bits": 4, "kind": "nf4", "double": True}, max_steps=3)
    model = load_model(asked, smollm2_dir)
    assert model.get_memory_footprint() < 200e6, "135 million parameters in float32 are 538 MB"
    made = train(asked, data(tmp_path / "job"), model, load_tokenizer(asked, smollm2_dir), "key", lambda _: None)
    losses = [loss for _, loss in made.losses]
    assert losses[-1] < losses[0]
    with safe_open(made.adapter_directory / "adapter_model.safetensors", "pt") as file:
        assert {file.get_tensor(name).dtype for name in file.keys()} == {torch.float32}  # noqa: SIM118 - no mapping


def test_dora_trains_a_magnitude_beside_its_matrices(smollm2_dir: Path, tmp_path: Path) -> None:
    lora = {"rank": 2, "target_modules": ["v_proj"], "dora": True, "rslora": True}
    made = trained(job(tmp_path, lora=lora, max_steps=1), smollm2_dir)
    written = json.loads((made.adapter_directory / "adapter_config.json").read_text())
    assert (written["use_dora"], written["use_rslora"]) == (True, True)
    with safe_open(made.adapter_directory / "adapter_model.safetensors", "pt") as file:
        assert sum("magnitude" in name for name in file.keys()) == 30  # noqa: SIM118 - one a layer; no mapping


def test_packed_rows_do_not_see_each_other(smollm2_dir: Path, tmp_path: Path) -> None:
    """The loss of a packed row is that of its parts, each on its own; activations computed again change none."""
    rows = data(tmp_path)
    rows = replace(rows, train=rows.train[:4])
    packed = job(tmp_path / "packed", packing=True, max_steps=1, batch_size=1, max_length=256)
    apart = job(tmp_path / "apart", max_steps=1, batch_size=4, max_length=256, gradient_checkpointing=True)
    loss = trained(packed, smollm2_dir, rows=rows).losses[0][1]
    assert loss == pytest.approx(trained(apart, smollm2_dir, rows=rows).losses[0][1], rel=2e-3)


@pytest.mark.parametrize(
    ("fields", "reason", "words"),
    [
        ({"training": {"learning_rate": 1e38}}, "LossNotFinite", "learning_rate, such as 0.0001"),
        ({"training": {"learnin_rate": 1e-3}}, "InvalidTrainingArguments", "write learning_rate"),
        ({"lora": {"rank": 4, "target_modules": ["qkv"]}}, "InvalidTrainingArguments", "qkv"),
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
