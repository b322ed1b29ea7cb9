"""Manifests modelled on every kind of example that KAITO's pages show: each is accepted, or refused with a reason.

A file's name says the verdict: .refused.yaml is refused; .existing.yaml is for nodes that exist, all others for nodes
that are made.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from components.manifest_files import manifest_files
from components.planning.errors import SpecError
from components.planning.spec import RawConfig, Spec, Surroundings, parse_spec

MANIFESTS = Path(__file__).parent / "manifests"
FILES = sorted(file.name for file in MANIFESTS.glob("*.yaml"))

REFUSED = {
    "multi_role_inference.refused.yaml": ("MultiRoleInference", "prefill and decode run in the same replica"),
    "quick_start_adapter.refused.yaml": ("ACR_REPO_HERE.azurecr.io/ADAPTER_HERE:0.0.1", "this is a placeholder"),
    "quick_start_adapter_tuning.refused.yaml": ("ACR_REPO_HERE.azurecr.io/IMAGE_NAME_HERE", "this is a placeholder"),
    "quick_start_tuning.refused.yaml": ("ACR_REPO_HERE.azurecr.io/IMAGE_NAME_HERE", "this is a placeholder"),
    "rag_engine.refused.yaml": ("RAGEngine", "deploy it beside"),
    "tuning_falcon_7b.refused.yaml": ("falcon-7b", "retired"),
}


def spec_of(name: str) -> Spec:
    kubernetes = {"nodes": "existing"} if ".existing." in name else None
    around = Surroundings(manifests={name: manifest_files(name, folder=MANIFESTS)})
    raw = RawConfig(target="kubernetes", kubernetes=kubernetes, manifests=[name])
    return parse_spec(raw, stack_file="Pulumi.prod.yaml", around=around)


@pytest.mark.parametrize("name", [name for name in FILES if name not in REFUSED])
def test_an_example_of_kaito_is_accepted_unchanged(name: str) -> None:
    (workspace,) = spec_of(name).workspaces
    assert workspace.resource.label_selector is not None


@pytest.mark.parametrize("name", REFUSED)
def test_an_example_that_cannot_be_is_refused_with_a_reason(name: str) -> None:
    with pytest.raises(SpecError) as refused:
        spec_of(name)
    (problem,) = refused.value.problems
    for words in REFUSED[name]:
        assert words in str(problem)


def test_the_file_names_say_the_verdicts() -> None:
    assert {name for name in FILES if ".refused." in name} == REFUSED.keys()


@pytest.mark.parametrize("name", [name for name in FILES if name.startswith("quick_start") and name in REFUSED])
def test_a_quick_start_is_accepted_once_its_placeholders_are_filled_in(name: str, tmp_path: Path) -> None:
    text = (MANIFESTS / name).read_text(encoding="utf-8")
    filled = (
        text.replace("ACR_REPO_HERE", "myregistry").replace("IMAGE_NAME_HERE", "dolly").replace("ADAPTER_HERE", "d")
    )
    (tmp_path / name).write_text(filled, encoding="utf-8")
    raw = RawConfig(target="kubernetes", manifests=[name])
    around = Surroundings(manifests={name: manifest_files(name, folder=tmp_path)})
    assert parse_spec(raw, stack_file="Pulumi.prod.yaml", around=around).workspaces
