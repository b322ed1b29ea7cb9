"""No field of a stack's config is dropped in silence: it changes the plan, is refused, or is named in a warning."""

from __future__ import annotations

import copy
import functools
import json
import re
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from components.planning import cluster_config, config, evaluation_config, stand_ins_config
from components.planning.errors import SpecError
from components.planning.kaito.documents import ManifestFile
from components.planning.manifests.scope import Delivery, Scope
from components.planning.manifests.stack import stack_manifests
from components.planning.manifests.workspace import workspace_manifests
from components.planning.plan import Plan, decide
from components.planning.preview import Before, preview
from components.planning.record import placed_record
from components.planning.spec import KEYS, Surroundings, raw_config
from tests.planning.builders import SERVER, STACK_FILE

Json = dict[str, Any]

A100 = {
    "nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB",
    "nvidia.com/gpu.count": "8",
    "nvidia.com/gpu.memory": "81920",
    "nvidia.com/gpu.compute.major": "8",
    "nvidia.com/gpu.compute.minor": "0",
}
EXISTING = {"labels": A100 | {"pool": "big"}, "count": 2, "pricePerHour": 20}
ADAPTER = {"source": {"name": "polite", "image": "registry.example.com/polite:1"}}
VOLUME = {"persistentVolumeClaim": {"claimName": "data"}}
SOURCE: Json = {
    "name": "kind",
    "urls": ["https://example.com/other.parquet"],
    "image": "registry.example.com/other:1",
    "imagePullSecrets": ["pull"],
    "volumeSource": VOLUME,
}
TUNING = {
    "preset": {"name": "phi-3-mini-4k-instruct"},
    "method": "qlora",
    "input": {"urls": ["https://example.com/data.parquet"]},
    "output": {"image": "registry.example.com/adapter:1", "imagePushSecret": "push"},
}

KEY_VALUES: Json = {"target": "aks", "workspaces": [], "manifests": ["chat.yaml"], "region": "westus"}
"""A legal value that is not the default, for each key of the config that is not a model."""

KEY_MODELS: dict[str, type[BaseModel]] = {
    "workspaces[]": config.WorkspaceSpec,
    "kubernetes": cluster_config.KubernetesSpec,
    "prices": config.PricesSpec,
    "ray": config.RaySpec,
    "apiKeys[]": config.ApiKeySpec,
    "standIns": stand_ins_config.StandInsSpec,
}

VALUES: dict[type[BaseModel], Json] = {
    config.WorkspaceSpec: {
        "name": "other",
        "replicas": 2,
        "engine": "transformers",
        "loadBalancer": True,
        "readyTimeoutSeconds": 60,
    },
    config.ResourceSpec: {
        "instanceType": "Standard_NC48ads_A100_v4",
        "count": 2,
        "preferredNodes": ["node-1"],
        "spot": True,
        "imageFamily": "azurelinux",
        "nodeClass": "mine",
        "skipMemoryCheck": True,
    },
    config.LabelSelector: {"matchLabels": {"pool": "big"}},
    config.PartitionSpec: {"mode": "accelerator", "profile": "1g.10gb", "count": 2},
    config.PresetSpec: {"name": "phi-3-mini-128k-instruct"},
    config.PresetOptions: {
        "weights": "hf:org/other",
        "image": "registry.example.com/weights:1",
        "imagePullSecrets": ["pull"],
        "modelAccessSecret": "hub",
    },
    config.InferenceSpec: {"template": {"spec": {"containers": []}}},
    config.InferenceConfig: {
        "maxContext": 1024,
        "maxSequences": 8,
        "dtype": "float16",
        "quantization": "nf4",
        "vllm": {"enforce-eager": True},
        "maxWaitingRequests": 7,
        "requestTimeoutSeconds": 60,
    },
    config.SamplingSpec: {"temperature": 0.5, "top_p": 0.5, "top_k": 5, "min_p": 0.5, "repetition_penalty": 1.5},
    config.AdapterSpec: {"strength": "0.5", "rank": 32},
    config.DataSource: SOURCE,
    config.AdapterDataSource: SOURCE | {"uri": "hf:org/polite", "tuning": "learn", "version": "0123456789ab"},
    config.TuningDataSource: SOURCE
    | {
        "dataset": "hf:org/data",
        "sha256": {"https://example.com/data.parquet": "a" * 64},
        "maxGib": 1,
        "allowedHosts": ["data.example.com"],
    },
    config.TuningSpec: {
        "method": "lora",
        "config": {"DatasetConfig": {"shuffle_dataset": False}},
        "seed": 7,
        "maxSteps": 10,
        "packing": True,
        "resume": False,
    },
    evaluation_config.EvaluationSpec: {"split": 0.2, "maxRows": 10, "metrics": ["loss"]},
    evaluation_config.GateSpec: {
        "heldOutLossImprovement": 0.05,
        "exactMatch": 0.5,
        "rougeL": 0.5,
        "regressionLossIncrease": 0.1,
    },
    config.TuningDestination: {
        "image": "registry.example.com/other:1",
        "imagePushSecret": "other",
        "volumeSource": VOLUME,
        "overwrite": True,
    },
    config.DataDestination: {
        "image": "registry.example.com/other:1",
        "imagePushSecret": "other",
        "volumeSource": VOLUME,
    },
    cluster_config.KubernetesSpec: {
        "nodes": "existing",
        "kubeconfig": "kubeconfig.yaml",
        "context": "prod",
        "namespace": "models",
        "createNamespace": False,
        "image": "registry.example.com/serving:1",
        "imagePullSecrets": ["pull"],
        "imageVolumes": False,
        "networkPolicy": False,
        "priorityClass": "models",
        "environment": {"HF_ENDPOINT": "https://mirror.example.com"},
    },
    cluster_config.NodeClassRef: {"group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "gpu"},
    cluster_config.HeadSpec: {"cpu": "2", "memory": "8Gi"},
    cluster_config.WeightsVolumeSpec: {
        "claim": "models",
        "size": "200Gi",
        "storageClass": "files",
        "hostPath": "/mnt/models",
    },
    cluster_config.ExposeSpec: {"domain": "llm.example.org"},
    cluster_config.GatewaySpec: {"name": "public", "namespace": "gateways", "section": "https"},
    cluster_config.IngressSpec: {
        "className": "nginx",
        "tlsSecret": "certificate",
        "annotations": {"cert-manager.io/cluster-issuer": "letsencrypt"},
    },
    cluster_config.ExistingNodes: {"labels": A100 | {"nvidia.com/gpu.count": "4"}, "count": 1, "pricePerHour": 10},
    config.PricesSpec: {"file": "prices.yaml", "regionFactor": 1.5},
    config.ApiKeySpec: {
        "name": "bob",
        "key": "9f86d081884c7d659a2feaa0c55ad015",
        "sha256": "b" * 64,
        "models": ["chat"],
        "requestsPerMinute": 5,
        "tokensPerMinute": 5,
        "concurrentRequests": 5,
        "admin": True,
    },
    stand_ins_config.StandInModel: {
        "preset": "smollm2-135m-instruct",
        "weights": "file:/models/smollm2",
        "engine": "transformers",
        "maxContext": 512,
        "maxSequences": 2,
    },
    stand_ins_config.StandInsSpec: {"addresses": {"example.com": "localhost:5000"}},
    config.RaySpec: {"servePort": 8000, "dashboardPort": 8265, "numCpus": 2},
}
"""The same for each field of each model but those that are models themselves."""

ELSEWHERE: dict[tuple[str, str], object] = {
    ("local", "workspaces[].engine"): "vllm",
    ("local", "workspaces[].tuning.output.imagePushSecret"): "",
    ("aks", "target"): "kubernetes",
    ("existing", "kubernetes.nodes"): "karpenter",
}
"""Other values where those above are the default already."""

MEANWHILE: dict[str, Json] = {
    "workspaces[].inference.template": {"workspaces[].inference.preset": None},
    "workspaces[].inference.adapters": {"workspaces[].inference.adapters": [ADAPTER]},
    "workspaces[].inference.adapters[].source.volumeSource": {"workspaces[].inference.adapters[].source.image": None},
    "workspaces[].inference.adapters[].source.uri": {"workspaces[].inference.adapters[].source.image": None},
    "workspaces[].inference.adapters[].source.tuning": {"workspaces[].inference.adapters[].source.image": None},
    "workspaces[].tuning.input.dataset": {"workspaces[].tuning.input.urls": None},
    "workspaces[].tuning.input.image": {"workspaces[].tuning.input.urls": None},
    "workspaces[].tuning.input.volumeSource": {"workspaces[].tuning.input.urls": None},
    "workspaces[].tuning.output.volumeSource": {
        "workspaces[].tuning.output.image": None,
        "workspaces[].tuning.output.imagePushSecret": None,
    },
    "workspaces[].resource.partition": {"workspaces[].resource.partition": {"mode": "accelerator", "count": 4}},
    "workspaces[].resource.partition.mode": {"workspaces[].resource.partition": {"mode": "mig", "profile": "1g.10gb"}},
    "workspaces[].resource.partition.profile": {
        "workspaces[].resource.partition": {"mode": "mig", "profile": "2g.20gb"}
    },
    "workspaces[].resource.skipMemoryCheck": {
        "workspaces[].resource.count": 1,
        "workspaces[].inference.config": {"maxContext": 4096, "maxSequences": 1024},
        "workspaces[].tuning.config": {"TrainingArguments": {"per_device_train_batch_size": 4096}},
    },
    "kubernetes.existing": {"kubernetes.existing": [EXISTING]},
    "kubernetes.nodeClassRef": {"kubernetes.nodeClassRef": {"group": "example.com", "kind": "Nodes"}},
    "kubernetes.weights.storageClass": {"kubernetes.weights": {"size": "100Gi"}},
    "kubernetes.expose.domain": {"kubernetes.expose": {"domain": "example.com", "ingress": {}}},
    "kubernetes.expose.gateway": {"kubernetes.expose": {"domain": "example.com", "gateway": {"name": "main"}}},
    "kubernetes.expose.ingress": {"kubernetes.expose": {"domain": "example.com", "ingress": {}}},
    "standIns.model": {"standIns.model": {"preset": "qwen2.5-0.5b-instruct"}},
    "apiKeys[]": {"apiKeys": [{"name": "alice", "sha256": "a" * 64}]},
}
"""What else the stack has while a field at or below a path is set, so that the field can have an effect."""

BASES: dict[str, Json] = {
    "local": {"target": "local"},
    "kubernetes": {"target": "kubernetes"},
    "aks": {"target": "aks"},
    "existing": {"target": "kubernetes", "kubernetes": {"nodes": "existing", "existing": [EXISTING]}},
}


def base_of(target: str, kind: str) -> Json:
    preset = "smollm2-135m-instruct" if target == "local" else "phi-3-mini-4k-instruct"
    workspace: Json = {"name": "chat", kind: TUNING if kind == "tuning" else {"preset": {"name": preset}}}
    if target in ("kubernetes", "aks"):
        workspace["resource"] = {"instanceType": "Standard_NC24ads_A100_v4"}
    return copy.deepcopy(BASES[target] | {"workspaces": [workspace]})


def fields() -> Iterator[tuple[str, object]]:
    """Each field's path from the top, [] standing for the first of a list, and the value that it gets."""
    yield from KEY_VALUES.items()
    for path, model in KEY_MODELS.items():
        yield from fields_of(model, path)


def fields_of(model: type[BaseModel], path: str) -> Iterator[tuple[str, object]]:
    for name, field in model.model_fields.items():
        here, annotation = f"{path}.{field.alias or name}", field.annotation
        if (inner := model_in(annotation)) is not None:
            yield from fields_of(inner, here + ("[]" if "list[" in str(annotation) else ""))
        else:
            assert (field.alias or name) in VALUES[model], f"{model.__name__}.{field.alias or name} has no value to try"
            yield here, VALUES[model][field.alias or name]


def model_in(annotation: object) -> type[BaseModel] | None:
    parts = (annotation, *get_args(annotation))
    return next((part for part in parts if isinstance(part, type) and issubclass(part, BaseModel)), None)


def put(stack: Json, path: str, value: object) -> None:
    """Maps and lists that are missing on the way are made; None removes."""
    *way, last = path.split(".")
    at: Any = stack
    for step in way:
        name = step.removesuffix("[]")
        at = at.setdefault(name, {}) if step == name else at.setdefault(name, [{}])[0]
    if value is None:
        at.pop(last, None)
    else:
        at[last] = copy.deepcopy(value)


def outcome(stack: Json) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """What is planned, or the problems, as text to compare; paths of the problems; warnings."""
    return _outcome(json.dumps(stack))


@functools.cache
def _outcome(text: str) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    stack = json.loads(text)
    own = {"currency": "USD", "sizes": {"Standard_NC24ads_A100_v4": 1}} if "file" in stack.get("prices", {}) else None
    manifest = (
        "apiVersion: kaito.sh/v1beta1\nkind: Workspace\nmetadata: {name: more}\n"
        "inference: {preset: {name: smollm2-135m-instruct}}\n"
    )
    around = Surroundings(manifests={"chat.yaml": (ManifestFile(path="chat.yaml", text=manifest),)}, price_file=own)
    try:
        plan = decide(raw_config(stack), SERVER, stack_file=STACK_FILE, code_version="c0de", around=around)
    except SpecError as refused:
        return str(refused), tuple(problem.path for problem in refused.problems), ()
    return planned(plan), (), plan.warnings


def planned(plan: Plan) -> str:
    report = preview(plan, Before(), stack="dev").as_json()
    del report["warnings"]
    records = [placed_record(each, plan.target, plan.prices.currency) for each in plan.placed]
    here = (plan.workspaces, plan.tunings, plan.ray) if plan.target == "local" else on_cluster(plan)
    return repr((here, records, plan.free_nodes, report))


def on_cluster(plan: Plan) -> object:
    """What is applied on a cluster, and by which login; the config where nothing is provisioned yet."""
    if plan.target == "aks" or any(each.kind == "tuning" for each in plan.placed):
        return plan.kubernetes
    spec, code = plan.kubernetes, Delivery(digest="c0de", archive="", ray_version="2.60.0")
    scope = Scope(stack="dev", namespace=spec.namespace or "modelyard-dev", spec=spec, delivery=code)
    login = (spec.kubeconfig, spec.context, spec.create_namespace)
    applied = [workspace_manifests(each, scope, beside=True) for each in plan.placed]
    return login, stack_manifests(scope), applied, [each.spec.ready_timeout_seconds for each in plan.placed]


def is_dropped(target: str, kind: str, path: str, value: object) -> bool:
    before, plain = base_of(target, kind), outcome(base_of(target, kind))
    for prefix, changes in MEANWHILE.items():
        if re.match(rf"{re.escape(prefix)}(\.|\[|$)", path):
            for where, also in changes.items():
                if not where.startswith(f"workspaces[].{other_than(kind)}."):
                    put(before, where, also)
    after = copy.deepcopy(before)
    put(after, path, ELSEWHERE.get((target, path), value))
    (was, _, _), (now, problems, warnings) = outcome(before), outcome(after)
    return not (
        now != was
        or any(path.replace("[]", "[0]").startswith(where.removeprefix("modelyard:")) for where in problems)
        or any(is_named(path, warning) for warning in warnings if warning not in plain[2])
    )


def other_than(kind: str) -> str:
    return "inference" if kind == "tuning" else "tuning"


def is_named(path: str, warning: str) -> bool:
    """Whether a warning names the field, or the map that it is in, as warnings call it."""
    steps = path.replace("[]", "").split(".")
    names = [".".join(steps[: end + 1]) for end in range(len(steps))]
    names = [re.sub(r"^workspaces\.", "", name) if "." in name else f"modelyard:{name}" for name in names]
    names += [f"modelyard:{name}" for name in names] + [re.sub(r"^.*presetOptions\.", "presetOptions.", names[-1])]
    return any(re.search(rf"(?<![\w.]){re.escape(name)}(?![\w.])", warning) for name in names)


def test_each_key_of_the_config_is_tried() -> None:
    assert {path.partition(".")[0].removesuffix("[]") for path, _ in fields()} == set(KEYS)


@pytest.mark.parametrize("kind", ["inference", "tuning"])
@pytest.mark.parametrize("target", list(BASES))
def test_a_field_changes_the_plan_or_is_refused_or_is_named_in_a_warning(target: str, kind: str) -> None:
    dropped = [
        path
        for path, value in fields()
        if not path.startswith(f"workspaces[].{other_than(kind)}.") and is_dropped(target, kind, path, value)
    ]
    assert not dropped, f"accepted without a word, and without effect on target {target}: {', '.join(dropped)}"
