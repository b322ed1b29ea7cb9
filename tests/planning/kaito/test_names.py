"""Models beyond the catalogue that manifests name: they are known whatever else the manifests hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import constants

from components import import_kaito
from components.planning.errors import Problem
from components.planning.kaito.documents import ManifestFile
from components.planning.kaito.names import preset_names
from components.planning.spec import RawConfig, read_spec
from components.surroundings import read_surroundings
from tests.planning.kaito.reading import TUNING, config_map, inference_set, tuning, words_of, workspace
from tests.presets.builders import published

LABELS = "labelSelector: {matchLabels: {apps: phi-3}}"


def names(*texts: str) -> tuple[str, ...]:
    files = [ManifestFile(path=f"{number}.yaml", text=text) for number, text in enumerate(texts)]
    return preset_names(files)


def preset(name: object) -> str:
    return f"{{preset: {{name: '{name}'}}}}"


def problems_of(text: str, folder: Path, **config: object) -> list[Problem]:
    """What a stack says whose only workspaces stand in a manifest."""
    (folder / "ws.yaml").write_text(text, encoding="utf-8")
    raw = RawConfig(target="kubernetes", manifests=["ws.yaml"], **config)  # pyright: ignore[reportArgumentType]
    _, problems = read_spec(raw, stack_file="Pulumi.prod.yaml", around=read_surroundings(raw, folder, lambda _: None))
    return problems


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return published(tmp_path / "mine", "SmolLM2-135M-Instruct")


def test_names_are_found_in_every_kind_that_becomes_a_workspace() -> None:
    served, tuned = workspace(inference=preset("org/b")), tuning(preset="{name: org/c}")
    listed = yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": [yaml.safe_load(served)]})
    assert names(f"{served}---\n{tuned}", inference_set(inference=preset("org/a"))) == ("org/a", "org/b", "org/c")
    assert names(listed, served) == ("org/b",)


def test_what_is_no_workspace_of_kaito_names_no_model() -> None:
    foreign = workspace(inference=preset("org/a")).replace("kaito.sh", "tekton.dev")
    nameless = workspace(inference="{preset: {name: [org/a]}}")
    odd = workspace(inference=preset("org/a")).replace("kind: Workspace", "kind: [Workspace]")
    assert names(foreign, nameless, odd, config_map("a: 1"), "text", "- 1", "{{ broken", "") == ()


@pytest.mark.parametrize(
    "text",
    [
        workspace(inference=preset("org/a"), resource=f"{{{LABELS}, partition: {{mode: mig}}}}"),
        workspace(inference=preset("org/a"), more=f"tuning: {{preset: {{name: org/a}}, method: {TUNING['method']}}}"),
        workspace(inference=preset("org/a"), metadata="annotations: {kaito.sh/runtime: vlm}"),
        workspace(inference="{preset: {name: org/a}, unknown: 1}"),
        workspace(inference=preset("org/a")) + "---\n{{ broken",
    ],
)
def test_a_mistake_does_not_hide_which_model_is_named(text: str) -> None:
    assert names(text) == ("org/a",)


def test_a_directory_on_partitioned_nodes_is_a_model_that_is_known(tmp_path: Path, directory: Path) -> None:
    partition = "partition: {mode: mig, profile: 1g.10gb}"
    text = workspace(inference=preset(directory), resource=f"{{{LABELS}, {partition}}}")
    assert problems_of(text, tmp_path, kubernetes={"nodes": "existing"}) == []


def test_one_mistake_beside_a_directory_is_one_problem(tmp_path: Path, directory: Path) -> None:
    text = workspace(inference=preset(directory), metadata="annotations: {kaito.sh/runtime: vlm}")
    (problem,) = problems_of(text, tmp_path)
    assert "write vllm" in words_of(problem)


def test_a_directory_that_is_gone_is_said_with_its_reason(tmp_path: Path) -> None:
    (problem,) = problems_of(workspace(inference=preset(tmp_path / "gone")), tmp_path)
    assert "is not a directory" in words_of(problem)


@pytest.mark.parametrize("existing", [False, True])
def test_a_manifest_of_a_directory_is_imported(
    existing: bool, tmp_path: Path, directory: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    resource = f"{{{LABELS}{'' if existing else ', instanceType: Standard_NC24ads_A100_v4'}}}"
    (tmp_path / "ws.yaml").write_text(workspace(inference=preset(directory), resource=resource), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert import_kaito.main(["ws.yaml", *(["--existing-nodes"] if existing else [])]) == 0
    printed: dict[str, Any] = yaml.safe_load(capsys.readouterr().out)
    (imported,) = printed["config"]["modelyard:workspaces"]
    assert imported["inference"]["preset"]["name"] == str(directory)


def test_an_import_says_as_a_comment_that_the_hub_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    (tmp_path / "ws.yaml").write_text(workspace(inference=preset("org/model")), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert import_kaito.main(["ws.yaml"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("# looking up org/model on the hub\n")
    assert "http://127.0.0.1:9 is not in reach" in said, "the reason is lost"
