"""What a KAITO manifest means in our own config, and what people are told about the rest of it."""

from __future__ import annotations

import pytest

from components.planning.config import WorkspaceSpec
from tests.planning.kaito.reading import (
    IMAGE,
    config_map,
    inference_set,
    read,
    the_workspace,
    warned,
    with_config,
    workspace,
)

SIZE = "instanceType: Standard_NC24ads_A100_v4"
SELECTOR = "labelSelector: {matchLabels: {apps: phi-3}}"


def test_a_workspace_keeps_its_name_its_nodes_and_its_preset() -> None:
    raw = the_workspace(workspace())
    assert raw == {
        "name": "phi",
        "resource": {"instanceType": "Standard_NC24ads_A100_v4", "labelSelector": {"matchLabels": {"apps": "phi-3"}}},
        "inference": {"preset": {"name": "phi-3-mini-4k-instruct"}},
    }
    assert read(workspace()).warnings == (), "what KAITO's own quick start writes is not worth a warning"


def test_a_workspace_is_placed_where_it_was_read() -> None:
    (found,) = read(workspace()).workspaces
    assert (found.place.path, found.place.workspace) == ("ws.yaml: Workspace phi", "phi")


def test_what_is_read_is_a_workspace_of_our_own_config() -> None:
    spec = WorkspaceSpec.model_validate(the_workspace(workspace(metadata="annotations: {kaito.sh/enablelb: 'True'}")))
    assert spec.load_balancer
    assert spec.resource.instance_type == "Standard_NC24ads_A100_v4"


def test_a_field_that_is_null_counts_as_absent() -> None:
    assert "tuning" not in the_workspace(workspace(more="tuning:\nstatus:"))


def test_status_and_what_the_api_server_writes_are_read_over() -> None:
    metadata = (
        "namespace: default, uid: 1f, resourceVersion: '7', creationTimestamp: 2026-08-21T20:32:43Z, generation: 2, "
        "managedFields: [{manager: kubectl}], finalizers: [workspace.finalizer.kaito.sh], "
        "annotations: {workspace.kaito.io/revision: '1', workspace.kaito.io/hash: abc, team: chat}"
    )
    text = workspace(metadata=metadata, more="status: {state: Ready, conditions: []}")
    assert the_workspace(text) == the_workspace(workspace())
    assert warned(text) == ""


# the size and the number of nodes


def test_v1alpha1_without_a_size_gets_kaitos_default_and_a_warning() -> None:
    text = workspace(version="v1alpha1", resource=f"{{{SELECTOR}}}")
    assert the_workspace(text)["resource"]["instanceType"] == "Standard_NC24ads_A100_v4"
    assert "Standard_NC24ads_A100_v4, which v1alpha1 fills in" in warned(text)


def test_v1beta1_without_a_size_gets_the_cheapest_that_fits_and_a_warning() -> None:
    text = workspace(resource=f"{{{SELECTOR}}}")
    assert "instanceType" not in the_workspace(text)["resource"]
    assert "the cheapest size that fits is chosen; KAITO refuses this" in warned(text)


@pytest.mark.parametrize("version", ["v1alpha1", "v1beta1"])
def test_existing_nodes_need_no_size(version: str) -> None:
    text = workspace(version=version, resource=f"{{{SELECTOR}}}")
    assert "instanceType" not in the_workspace(text, existing_nodes=True)["resource"]
    assert warned(text, existing_nodes=True) == ""


def test_count_and_preferred_nodes_are_honoured_with_a_warning() -> None:
    text = workspace(resource=f"{{{SIZE}, {SELECTOR}, count: 2, preferredNodes: [n1]}}")
    resource = the_workspace(text)["resource"]
    assert (resource["count"], resource["preferredNodes"]) == (2, ["n1"])
    assert "resource.count: deprecated in v1beta1" in warned(text)
    assert "honoured here" in warned(text)
    assert "resource.preferredNodes: deprecated in v1beta1" in warned(text)


@pytest.mark.parametrize("partition", [{"mode": "mig", "profile": "1g.10gb"}, {"mode": "accelerator", "count": 2}])
def test_a_partition_of_existing_nodes_is_kept(partition: dict[str, object]) -> None:
    text = workspace(resource=f"{{{SELECTOR}, partition: {partition}}}")
    assert the_workspace(text, existing_nodes=True)["resource"]["partition"] == partition


def test_an_expression_of_one_value_is_a_label() -> None:
    expression = "{key: gpu, operator: In, values: [a100]}"
    text = workspace(resource=f"{{{SIZE}, labelSelector: {{matchLabels: {{a: b}}, matchExpressions: [{expression}]}}}}")
    assert the_workspace(text)["resource"]["labelSelector"] == {"matchLabels": {"a": "b", "gpu": "a100"}}


def test_labels_that_kaito_reserves_are_left_out_with_a_warning() -> None:
    labels = "{apps: phi-3, kaito.sh/workspace: x, karpenter.kaito.sh/inferenceset: y}"
    text = workspace(resource=f"{{{SIZE}, labelSelector: {{matchLabels: {labels}}}}}")
    assert the_workspace(text)["resource"]["labelSelector"] == {"matchLabels": {"apps": "phi-3"}}
    assert 'matchLabels["kaito.sh/workspace"]: left out, as in KAITO' in warned(text)
    assert 'matchLabels["karpenter.kaito.sh/inferenceset"]: left out' in warned(text)


def test_an_empty_selector_is_accepted_as_in_kaito() -> None:
    assert "labelSelector" not in the_workspace(workspace(resource=f"{{{SIZE}, labelSelector: {{}}}}"))["resource"]


# annotations


@pytest.mark.parametrize(
    ("annotation", "field", "value"),
    [
        ("kaito.sh/runtime: vllm", "engine", "vllm"),
        ("kaito.sh/runtime: transformers", "engine", "transformers"),
        ("kaito.sh/enablelb: 'True'", "loadBalancer", True),
    ],
)
def test_an_annotation_becomes_a_field(annotation: str, field: str, value: object) -> None:
    assert the_workspace(workspace(metadata=f"annotations: {{{annotation}}}"))[field] == value
    assert field not in the_workspace(workspace()), "without the annotation nothing is said"


@pytest.mark.parametrize(
    ("annotation", "field", "value"),
    [
        ("kaito.sh/bypass-resource-checks: 'true'", "skipMemoryCheck", True),
        ("kaito.sh/node-image-family: AzureLinux", "imageFamily", "azurelinux"),
        ("kaito.sh/node-image-family: ubuntu", "imageFamily", "ubuntu"),
        ("kaito.sh/node-class-name: image-family-ubuntu", "nodeClass", "image-family-ubuntu"),
    ],
)
def test_an_annotation_about_nodes_becomes_a_field_of_resource(annotation: str, field: str, value: object) -> None:
    assert the_workspace(workspace(metadata=f"annotations: {{{annotation}}}"))["resource"][field] == value


def test_only_true_with_a_capital_asks_for_a_load_balancer_as_in_kaito() -> None:
    text = workspace(metadata="annotations: {kaito.sh/enablelb: 'true'}")
    assert "loadBalancer" not in the_workspace(text)
    assert 'only "True" asks for one' in warned(text)


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        ("kaito.sh/disable-benchmark: 'true'", "no benchmark runs before a workspace is ready"),
        ("kaito.sh/performance-mode: throughput", "vLLM's defaults are used"),
        ("kaito.sh/use-local-weights: 'true'", "presetOptions.weights (file:/DIRECTORY)"),
        ("kaito.sh/model-streaming: enabled", "downloaded to the node"),
        ("kaito.sh/model-mirror-storage-class: blob", "there is no mirror"),
        ("kaito.sh/streaming-service-account: me", "nothing is streamed"),
        ("kaito.sh/runtimes: vllm", "did you mean kaito.sh/runtime?"),
        ("scaledobject.kaito.sh/threshold: '10'", "there is no autoscaling in this version"),
    ],
)
def test_an_annotation_without_a_counterpart_is_named_with_what_happens_instead(annotation: str, words: str) -> None:
    text = workspace(metadata=f"annotations: {{{annotation}}}")
    assert the_workspace(text) == the_workspace(workspace())
    (warning,) = read(text).warnings
    assert annotation.partition(": ")[0].rpartition("/")[2] in warning
    assert "not honoured" in warning
    assert words in warning


@pytest.mark.parametrize(
    "annotation",
    [
        "kaito.sh/performance-mode: balanced",
        "kaito.sh/use-local-weights: 'false'",
        "kaito.sh/model-streaming: disabled",
        "kaito.sh/enablelb: 'False'",
        "example.com/owner: me",
    ],
)
def test_an_annotation_that_changes_nothing_gets_no_warning(annotation: str) -> None:
    assert warned(workspace(metadata=f"annotations: {{{annotation}}}")) == ""


# presets and their access


def test_the_deprecated_options_of_a_preset_are_kept_with_a_warning() -> None:
    options = f"{{image: '{IMAGE}', imagePullSecrets: [pull]}}"
    text = workspace(
        inference=f"{{preset: {{name: phi-3-mini-4k-instruct, accessMode: private, presetOptions: {options}}}}}"
    )
    preset = the_workspace(text)["inference"]["preset"]
    assert preset["presetOptions"] == {"image": IMAGE, "imagePullSecrets": ["pull"]}
    for field in ("accessMode", "presetOptions.image", "presetOptions.imagePullSecrets"):
        assert f"{field}: deprecated in v1beta1" in warned(text)


def test_a_gated_preset_with_a_token_is_accepted() -> None:
    preset = "{name: llama-3.1-8b-instruct, presetOptions: {modelAccessSecret: hf-token}}"
    raw = the_workspace(workspace(inference=f"{{preset: {preset}}}"))
    assert raw["inference"]["preset"]["presetOptions"] == {"modelAccessSecret": "hf-token"}


def test_a_token_that_is_not_needed_is_accepted_with_a_warning_as_kaitos_own_examples_have_it() -> None:
    preset = "{name: phi-3-mini-4k-instruct, presetOptions: {modelAccessSecret: hf-token}}"
    assert "is not gated" in warned(workspace(inference=f"{{preset: {preset}}}"))


def test_an_unknown_preset_is_left_to_the_rules_of_all_workspaces() -> None:
    raw = the_workspace(workspace(inference="{preset: {name: my-own-model}}"))
    assert raw["inference"]["preset"]["name"] == "my-own-model"


def test_an_unknown_preset_is_said_together_with_the_other_problems_of_its_workspace() -> None:
    manifests = read(workspace(name="Phi", inference="{preset: {name: phi-3-mini-4k-instrct}}"))
    assert [problem.path for problem in manifests.problems] == [
        "ws.yaml: Workspace Phi.metadata.name",
        "ws.yaml: Workspace Phi.inference.preset.name",
    ]


def test_a_template_is_kept_as_it_is() -> None:
    raw = the_workspace(workspace(inference="{template: {spec: {containers: [{name: a, image: b, env: []}]}}}"))
    assert raw["inference"] == {"template": {"spec": {"containers": [{"name": "a", "image": "b", "env": []}]}}}


# InferenceSet


def test_an_inference_set_is_a_workspace_with_replicas() -> None:
    assert the_workspace(inference_set(spec="replicas: 3")) == {
        "name": "chat",
        "resource": {"instanceType": "Standard_NC24ads_A100_v4", "labelSelector": {"matchLabels": {"apps": "chat"}}},
        "inference": {"preset": {"name": "phi-3-mini-4k-instruct"}},
        "replicas": 3,
    }
    assert the_workspace(inference_set())["replicas"] == 1, "KAITO's default"


def test_an_inference_set_without_replicas_is_left_out_with_a_warning() -> None:
    manifests = read(inference_set(spec="replicas: 0"), workspace())
    assert [each.place.workspace for each in manifests.workspaces] == ["phi"]
    assert "spec.replicas: 0: left out of the plan" in manifests.warnings[0]


def test_v1alpha1_inference_sets_take_a_token_as_in_kaito() -> None:
    preset = "{preset: {name: llama-3.1-8b-instruct, presetOptions: {modelAccessSecret: hf-token}}}"
    raw = the_workspace(inference_set(version="v1alpha1", inference=preset))
    assert raw["inference"]["preset"]["presetOptions"] == {"modelAccessSecret": "hf-token"}


def test_annotations_of_the_set_and_of_its_template_count() -> None:
    text = inference_set(metadata="name: chat, annotations: {kaito.sh/enablelb: 'True'}").replace(
        "  template:", "  template:\n    metadata: {annotations: {kaito.sh/runtime: transformers}}"
    )
    raw = the_workspace(text)
    assert (raw["loadBalancer"], raw["engine"]) == (True, "transformers")


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("nodeCountLimit: 5", "KAITO reads it nowhere"),
        ("updateStrategy: {type: OnDelete}", "KAITO reads it nowhere"),
        ("autoUpgrade: {enabled: true}", "upgraded when pulumi up runs"),
    ],
)
def test_fields_of_an_inference_set_without_a_counterpart_are_named(spec: str, words: str) -> None:
    field = spec.partition(":")[0]
    assert f"spec.{field}: not honoured" in warned(inference_set(spec=spec))
    assert words in warned(inference_set(spec=spec))


# several objects


def test_more_than_one_namespace_gets_a_warning() -> None:
    both = warned(workspace(name="a", metadata="namespace: team-a"), workspace(name="b"))
    assert "namespaces default, team-a: a stack has one namespace" in both
    assert warned(workspace(metadata="namespace: team-a")) == ""


def test_other_objects_are_named_and_their_data_is_not_shown() -> None:
    secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: hf-token}\ndata: {HF_TOKEN: aHVzaA==}\n"
    claim = "kind: PersistentVolumeClaim\napiVersion: v1\nmetadata: {name: data}\n"
    said = warned(f"{secret}---\n{claim}---\n{workspace()}")
    assert "Secret hf-token: ignored, as it is no workspace: kubectl apply it" in said
    assert "PersistentVolumeClaim data: ignored" in said
    assert "aHVzaA" not in said


def test_a_config_map_that_no_one_names_is_ignored_with_a_warning() -> None:
    assert "ConfigMap settings: ignored, as no workspace names it" in warned(config_map("{}"), workspace())
    assert "ignored" not in warned(with_config("vllm: {}"))


def test_a_workspace_of_another_system_is_ignored_with_a_warning() -> None:
    other = "apiVersion: app.terraform.io/v1alpha2\nkind: Workspace\nmetadata: {name: infra}\n"
    assert "Workspace infra: ignored" in warned(other, workspace())


def test_all_problems_of_all_files_are_said_at_once() -> None:
    manifests = read(workspace(name="A"), "kind: [", workspace(name="b", more="x: 1"), workspace(name="good"))
    assert [problem.path for problem in manifests.problems] == [
        "ws-2.yaml: line 1",
        "ws.yaml: Workspace A.metadata.name",
        "ws-3.yaml: Workspace b.x",
    ]
    assert [each.place.workspace for each in manifests.workspaces] == ["good"]


def test_files_without_a_workspace_get_a_warning() -> None:
    assert warned("# nothing\n") == "ws.yaml: no Workspace and no InferenceSet to plan"
