"""What a good config means: defaults, KAITO's form, and what is read without regard to case."""

from __future__ import annotations

import pytest

from components.planning.config import InferenceSpec, PresetSpec, WorkspaceSpec
from components.planning.spec import RawConfig, parse_spec
from tests.planning.builders import chat, spec_of

KAITO_PHI_3 = """
workspaces:
  - name: workspace-phi-3-mini
    resource:
      instanceType: Standard_NC6s_v3
      count: 1
      labelSelector:
        matchLabels: {apps: phi-3}
      preferredNodes: []
    inference:
      preset:
        name: phi-3-mini-4k-instruct
        presetOptions: {image: registry/phi-3, imagePullSecrets: [pull], modelAccessSecret: hub}
      adapters: []
"""


def inference_of(workspace: WorkspaceSpec) -> InferenceSpec:
    assert workspace.inference is not None
    return workspace.inference


def preset_of(workspace: WorkspaceSpec) -> PresetSpec:
    preset = inference_of(workspace).preset
    assert preset is not None
    return preset


def test_a_stack_without_config_serves_nothing_on_this_machine() -> None:
    spec = parse_spec(RawConfig(), stack_file="Pulumi.dev.yaml")
    assert spec.target == "local"
    assert spec.workspaces == ()
    assert spec.ray.serve_port is None, "a port is chosen when Ray starts"


def test_an_empty_list_of_workspaces_is_allowed() -> None:
    assert spec_of("workspaces: []").workspaces == ()


def test_a_name_and_a_preset_are_enough() -> None:
    (workspace,) = spec_of(chat()).workspaces
    assert workspace.name == "chat"
    assert workspace.ready_timeout_seconds is None, "the target decides: 600 here, a limit for each phase on a cluster"
    assert (workspace.replicas, workspace.engine) == (None, None), "the plan decides what nobody asked for"


def test_a_workspace_in_the_form_of_kaito_is_understood() -> None:
    (workspace,) = spec_of(KAITO_PHI_3).workspaces
    assert workspace.resource.instance_type == "Standard_NC6s_v3"
    assert workspace.resource.label_selector is not None
    assert workspace.resource.label_selector.match_labels == {"apps": "phi-3"}
    assert preset_of(workspace).preset_options.model_access_secret == "hub"


@pytest.mark.parametrize(
    "name", ["phi-3-mini-4k-instruct", "Phi-3-Mini-4K-Instruct", "microsoft/Phi-3-mini-4k-instruct"]
)
def test_a_preset_is_found_by_its_own_and_its_repositorys_name_in_any_case(name: str) -> None:
    (workspace,) = spec_of(chat(preset=f"name: {name}")).workspaces
    assert preset_of(workspace).name == "phi-3-mini-4k-instruct"


def test_an_optional_field_without_a_value_counts_as_absent() -> None:
    (workspace,) = spec_of(chat("tuning: , resource: {instanceType: }")).workspaces
    assert workspace.resource.instance_type is None


def test_the_workspaces_keep_the_order_of_the_file_because_problems_point_there() -> None:
    preset = "{preset: {name: smollm2-135m-instruct}}"
    spec = spec_of(f"workspaces: [{{name: b, inference: {preset}}}, {{name: a, inference: {preset}}}]")
    assert [workspace.name for workspace in spec.workspaces] == ["b", "a"]


def test_a_name_may_be_as_long_as_kuberay_allows() -> None:
    (workspace,) = spec_of(chat().replace("chat", "a" * 47)).workspaces
    assert len(workspace.name) == 47


def test_a_whole_number_serves_as_temperature() -> None:
    (workspace,) = spec_of(chat(config="sampling: {temperature: 0, top_k: 5}")).workspaces
    assert inference_of(workspace).config.sampling.temperature == 0
    assert inference_of(workspace).config.sampling.top_k == 5
