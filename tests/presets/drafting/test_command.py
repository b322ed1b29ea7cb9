"""`python -m presets.add`: what it prints, writes and refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from presets.catalog import find_preset
from presets.drafting import command
from presets.drafting.entry_yaml import entry, read
from presets.drafting.repository_files import from_directory
from tests.hub_server import COMMIT, HubServer, Repository
from tests.presets.builders import CONFIGS, config_of, safetensors
from tests.presets.drafting.tiny import tiny

CHECKOUT = Path(__file__).parents[3]


@pytest.mark.parametrize("model", sorted(file.stem for file in CONFIGS.iterdir()))
def test_a_printed_entry_reads_back_as_the_preset(model: str, tmp_path: Path) -> None:
    config = config_of(model)
    directory = tmp_path / model
    directory.mkdir()
    (directory / "config.json").write_text(json.dumps(config))
    safetensors(directory / "model.safetensors", {"a": ("BF16", (1000, 1000))})
    draft = from_directory(directory).draft()
    text = entry(draft.name, draft.preset, draft.notes)
    assert read(text) == {draft.name: draft.preset}
    assert all(len(line) <= 120 for line in text.splitlines() if "weights: " not in line)


def test_a_name_that_yaml_would_take_for_a_number_is_quoted() -> None:
    preset = find_preset("smollm2-135m-instruct")
    assert read(entry("1.5", preset)) == {"1.5": preset}


def test_the_command_prints_an_entry_and_what_needs_a_look(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], models: Path
) -> None:
    directory = tiny(tmp_path / "Mine-1B")
    assert command.main([str(directory)]) == 0
    output = capsys.readouterr()
    assert read(output.out)["mine-1b"] == from_directory(directory).draft().preset
    assert f"file:{directory}." in output.out, "the entry does not say where its facts are from"
    assert "licence is not known" in output.err
    assert "Nothing was written" in output.err
    assert not list(models.iterdir())


def test_the_command_appends_to_the_file_of_the_family(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], models: Path
) -> None:
    (models / "mine.yaml").write_text("# Mine.\n\nmine-0:\n  fact: 1\n")
    directory = tiny(tmp_path / "mine-1b")
    assert command.main([str(directory), "--name", "mine-big", "--family"]) == 0
    written = (models / "mine.yaml").read_text()
    assert written.startswith("# Mine.\n\nmine-0:\n  fact: 1\n\nmine-big:\n")
    assert "presets/models/mine.yaml: check the licence" in capsys.readouterr().err
    assert command.main([str(directory), "--write", "other.yaml"]) == 0
    new = (models / "other.yaml").read_text()
    assert list(read(new)) == ["mine-1b"]
    assert new.startswith("# shape, max_context: config.json"), "a file says where its facts are from"


def test_the_command_pins_the_commit_of_a_repository(
    hub: HubServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.repositories["org/model"] = Repository(tiny(tmp_path / "model"))
    assert command.main(["org/model@main"]) == 0
    assert read(capsys.readouterr().out)["model"].repository.revision == COMMIT


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["{tiny}", "--name", "smollm2-135m-instruct"], "has smollm2-135m-instruct already"),
        (["{tiny}", "--write", "../outside.yaml"], "not the name of a file"),
        (["nonsense"], "neither ORG/MODEL of the hub nor a path"),
        (["./gone"], "not a directory"),
    ],
)
def test_the_command_refuses_with_what_to_do(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], models: Path
) -> None:
    directory = tiny(tmp_path / "mine")
    assert command.main([argument.format(tiny=directory) for argument in arguments]) == 1
    output = capsys.readouterr()
    assert said in output.err
    assert not output.out
    assert not list(models.iterdir())


def test_a_repository_of_the_catalogue_is_not_drafted_twice(
    hub: HubServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.repositories["Qwen/Qwen2.5-0.5B-Instruct"] = Repository(tiny(tmp_path / "model"))
    assert command.main(["Qwen/Qwen2.5-0.5B-Instruct", "--name", "mine"]) == 1
    assert "as qwen2.5-0.5b-instruct" in capsys.readouterr().err


def test_the_command_runs_as_a_module_and_presets_stay_light(tmp_path: Path) -> None:
    directory = tiny(tmp_path / "mine")
    typed = [sys.executable, "-m", "presets.add", str(directory)]
    run = subprocess.run(typed, cwd=CHECKOUT, capture_output=True, text=True, check=True, env=dict(os.environ))
    assert list(read(run.stdout)) == ["mine"]
    light = "import sys, presets.add, components.model_facts; sys.exit('huggingface_hub' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", light], cwd=CHECKOUT, check=False).returncode == 0
