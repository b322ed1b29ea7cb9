"""A stack tried with a small model and other addresses: the same workspaces and manifests, unchanged."""

from __future__ import annotations

from pathlib import Path

from components.planning.kaito.documents import ManifestFile
from components.planning.spec import Surroundings
from tests.planning.builders import SERVER, plan_of, problem_of

SEEDS = Path(__file__).parent / "kaito" / "manifests"
ONE_LINE = "standIns: {model: {preset: smollm2-135m-instruct, weights: 'file:/models/smollm2', maxContext: 1024}}"
PLACEHOLDERS = """
standIns:
  model: {preset: smollm2-135m-instruct, weights: 'file:/models/smollm2'}
  addresses:
    ACR_REPO_HERE.azurecr.io/ADAPTER_HERE: localhost:5000/adapters/phi
    ACR_REPO_HERE.azurecr.io/IMAGE_NAME_HERE: localhost:5000/adapters/phi
    ACR_REGISTRY_SECRET_HERE: registry
    "https://huggingface.co/": http://localhost:8000/
"""


def around(*names: str) -> Surroundings:
    files = tuple(ManifestFile(path=name, text=(SEEDS / name).read_text(encoding="utf-8")) for name in names)
    return Surroundings(manifests={"kaito/*.yaml": files})


def test_one_line_takes_the_place_of_every_model() -> None:
    text = f"""
    target: kubernetes
    workspaces:
      - {{name: chat, inference: {{preset: {{name: phi-4}}, config: {{maxContext: 4096, quantization: nf4}}}}}}
    {ONE_LINE}
    """
    plan = plan_of(text)
    (chat,) = plan.placed
    assert chat.preset == "smollm2-135m-instruct"
    inference = chat.spec.inference
    assert inference is not None
    assert inference.preset is not None
    assert inference.preset.preset_options.weights == "file:/models/smollm2"
    assert inference.config.max_context == 1024
    assert inference.config.quantization is None
    assert any("smollm2-135m-instruct stands in for the models of chat" in warning for warning in plan.warnings)


def test_kaito_s_quick_start_is_tried_unchanged() -> None:
    names = (
        "quick_start_inference.yaml",
        "quick_start_adapter.refused.yaml",
        "quick_start_tuning.refused.yaml",
    )
    for name in names:
        text = f"target: kubernetes\nmanifests: ['kaito/*.yaml']\n{PLACEHOLDERS}"
        plan = plan_of(text, machine=SERVER, around=around(name))
        (workspace,) = plan.placed
        assert workspace.preset == "smollm2-135m-instruct"
        assert workspace.node is not None
        assert workspace.node.size_name == "Standard_NC6s_v3", "what is not stood in for stays"
        if workspace.spec.tuning is not None:
            assert workspace.spec.tuning.input.urls is not None
            assert workspace.spec.tuning.input.urls[0].startswith("http://localhost:8000/datasets/")
            assert workspace.spec.tuning.output is not None
            assert workspace.spec.tuning.output.image == "localhost:5000/adapters/phi:0.0.1"


def test_a_stand_in_that_nobody_knows_is_refused_where_it_is_named() -> None:
    problem = problem_of("standIns: {model: {preset: smollm3}}\nworkspaces: []")
    assert problem.path == "modelyard:standIns.model.preset"
