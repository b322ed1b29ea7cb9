"""`make import-kaito`: what is printed is a stack config that means the same, and mistakes end it with all reasons."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from components import import_kaito
from components.manifest_files import manifest_files
from components.planning.config import WorkspaceSpec
from components.planning.spec import RawConfig, Surroundings, parse_spec
from tests.planning.kaito.test_examples import FILES, MANIFESTS, REFUSED, spec_of


def workspaces_in(printed: str) -> tuple[WorkspaceSpec, ...]:
    config = {key.removeprefix("modelyard:"): value for key, value in yaml.safe_load(printed)["config"].items()}
    return parse_spec(RawConfig(**config), stack_file="Pulumi.prod.yaml", around=Surroundings()).workspaces


@pytest.mark.parametrize("name", [name for name in FILES if name not in REFUSED])
def test_the_printed_config_means_the_same_as_the_manifest(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(MANIFESTS)
    arguments = [name, *(["--existing-nodes"] if ".existing." in name else [])]
    assert import_kaito.main(arguments) == 0
    assert workspaces_in(capsys.readouterr().out) == spec_of(name).workspaces


def test_warnings_do_not_mix_with_the_config(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(MANIFESTS)
    assert import_kaito.main(["performance_mode.yaml"]) == 0
    printed = capsys.readouterr()
    assert printed.err.startswith("# warning: performance_mode.yaml: Workspace workspace-phi-4-mini-throughput")
    assert "warning" not in printed.out
    assert printed.out.startswith("# From performance_mode.yaml: put this into Pulumi.STACK.yaml.\nconfig:\n")


def test_several_files_and_globs_make_one_config(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(MANIFESTS)
    assert import_kaito.main(["one_preset_phi_4*.yaml", "one_preset_phi_4.yaml", "template.yaml"]) == 0
    assert [each.name for each in workspaces_in(capsys.readouterr().out)] == ["workspace-phi-4", "workspace-custom-llm"]


def test_problems_are_printed_all_at_once_and_no_config(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(MANIFESTS)
    assert import_kaito.main(["*.refused.yaml"]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    for words in ("RAGEngine", "MultiRoleInference", "falcon-7b", "this is a placeholder"):
        assert words in printed.err


def test_a_file_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert import_kaito.main(["nowhere.yaml"]) == 1
    assert "nowhere.yaml: no such file" in capsys.readouterr().err


def test_a_folder_means_its_yaml_files(tmp_path: Path) -> None:
    for name in ("b.yaml", "a.yml", "notes.txt"):
        (tmp_path / "manifests").mkdir(exist_ok=True)
        (tmp_path / "manifests" / name).write_text("a: 1\n", encoding="utf-8")
    found = manifest_files("manifests", folder=tmp_path)
    assert [file.path for file in found] == ["manifests/a.yml", "manifests/b.yaml"]
    assert manifest_files("manifests/**/*.y*ml", folder=tmp_path) == found
    assert manifest_files(str(tmp_path / "manifests/*.yaml"), folder=tmp_path) == found[1:]
    assert manifest_files("none/*.yaml", folder=tmp_path) == ()


def test_a_file_that_is_no_text_is_a_problem_with_its_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ws.yaml").write_bytes(b"\xff\xfe\x00")
    monkeypatch.chdir(tmp_path)
    assert import_kaito.main(["ws.yaml"]) == 1
    assert "it is not UTF-8 text" in capsys.readouterr().err
