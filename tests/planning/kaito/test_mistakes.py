"""What KAITO refuses, or what cannot be here, in files, names, nodes and annotations: input, verdict, and words."""

from __future__ import annotations

import pytest

from tests.planning.kaito.mistakes import SELECTOR, SIZE, Case, check
from tests.planning.kaito.reading import (
    PRESET,
    RESOURCE,
    inference_set,
    tuning,
    workspace,
)


def annotated(name: str, value: str) -> str:
    return workspace(metadata=f"annotations: {{{name}: {value}}}")


def partition(text: str) -> str:
    return workspace(resource=f"{{{SELECTOR}, partition: {text}}}")


CASES = [
    # files and documents
    Case("a syntax error", "kind: Workspace\nmetadata: {name: a\n", "ws.yaml: line 3", ("',' or '}'", "YAML")),
    Case("a syntax error in a later document", "# nothing\n---\nb: [", "ws.yaml: line 3", ("correct this line",)),
    Case("a tab", "kind:\n\tWorkspace", "ws.yaml: line 2", ("'\\t'",)),
    Case("a chart's template", "name: {{ .Values.name }}", "ws.yaml: line 1", ("helm template",)),
    Case("a key that stands twice", "kind: A\nkind: B\n", "ws.yaml: line 2", ("the key kind stands twice",)),
    Case("a text", "hello", "ws.yaml: document at line 1", ("text | a map with apiVersion, kind and metadata",)),
    Case("a list", "- kind: Workspace", "ws.yaml: document at line 1", ("a list of 1", "---")),
    Case("a document inside itself", "a: &a [*a]", "ws.yaml: document at line 1", ("100 levels deep", "alias")),
    Case("no kind", "apiVersion: kaito.sh/v1beta1", "ws.yaml: document at line 1", ("no kind", "add kind: Workspace")),
    Case("no apiVersion", "kind: Workspace\nmetadata: {name: a}", "Workspace a", ("add apiVersion: kaito.sh/v1beta1",)),
    Case("neither", "metadata: {name: a}", "ws.yaml: document a", ("no apiVersion and no kind",)),
    Case("a version of nobody", workspace(version="v1"), "Workspace phi.apiVersion", ("kaito.sh/v1alpha1", "write")),
    Case(
        "a misspelt group",
        workspace().replace("kaito.sh", "kaito.io"),
        "Workspace phi.apiVersion",
        ('"kaito.io/v1beta1"', "write kaito.sh/v1beta1"),
    ),
    Case("a misspelt kind", workspace().replace("Workspace", "WorkSpace"), "WorkSpace phi.kind", ("write Workspace",)),
    Case(
        "RAGEngine",
        "apiVersion: kaito.sh/v1beta1\nkind: RAGEngine\nmetadata: {name: rag}",
        "RAGEngine rag",
        ("retrieval is no part", "deploy it beside", "inferenceService.url"),
    ),
    Case(
        "MultiRoleInference",
        "apiVersion: kaito.sh/v1alpha1\nkind: MultiRoleInference\nmetadata: {name: pd}",
        "MultiRoleInference pd",
        ("prefill and decode", "write a Workspace or an InferenceSet"),
    ),
    Case(
        "ModelMirror",
        "apiVersion: kaito.sh/v1alpha1\nkind: ModelMirror\nmetadata: {name: mirror}",
        "ModelMirror mirror",
        ("no mirror", "leave its file out", "presetOptions.weights"),
    ),
    Case("a list's item that is text", "apiVersion: v1\nkind: List\nitems: [a]", "List at line 1.items[0]", ("text",)),
    # names
    Case("a name in capitals", workspace(name="Phi_3"), "Workspace Phi_3.metadata.name", ("DNS-1123", "call it phi-3")),
    Case(
        "a name that begins with a digit",
        workspace(name="3-phi"),
        "Workspace 3-phi.metadata.name",
        ("a letter first", "stricter than KAITO", "call it m-3-phi"),
    ),
    Case(
        "a name that KubeRay has no room for",
        workspace(name="a" * 48),
        f"Workspace {'a' * 48}.metadata.name",
        ("48 characters", "at most 47", "63 characters", f"call it {'a' * 47}"),
    ),
    Case(
        "no name",
        workspace().replace("metadata: {name: phi}", "metadata: {}"),
        "Workspace at line 1.metadata.name",
        ("nothing", "add name:"),
    ),
    Case(
        "generateName",
        workspace().replace("{name: phi}", "{generateName: phi-}"),
        "Workspace at line 1.metadata.name",
        ('generateName "phi-"', "write name: phi"),
    ),
    Case(
        "two of one name",
        f"{workspace()}---\n{inference_set(metadata='name: phi')}",
        "InferenceSet phi.metadata.name",
        ("also the name of the Workspace in ws.yaml, document at line 1", "phi-2"),
    ),
    # fields
    Case("spec", "spec: {}\n" + workspace(), "Workspace phi.spec", ("has no spec", "left margin")),
    Case("an unknown field", workspace(more="replicas: 2"), "Workspace phi.replicas", ("unknown field replicas",)),
    Case(
        "a misspelt field",
        workspace(resource=RESOURCE.replace("instanceType", "instancetype")),
        "Workspace phi.resource.instancetype",
        ("did you mean instanceType?",),
    ),
    Case("neither inference nor tuning", workspace(inference=None), "Workspace phi", ("neither inference nor tuning",)),
    Case(
        "both inference and tuning",
        tuning() + f"inference: {PRESET}\n",
        "Workspace tune",
        ("both inference and tuning", "but not both", "two Workspaces"),
    ),
    Case(
        "an annotation that YAML reads as a boolean",
        annotated("a", "true"),
        "Workspace phi.metadata.annotations.a",
        ("quotes",),
    ),
    # resource
    Case("no resource", workspace().replace("resource", "#"), "Workspace phi.resource", ("required",)),
    Case("no labelSelector", workspace(resource=f"{{{SIZE}}}"), "Workspace phi.resource.labelSelector", ("required",)),
    Case(
        "another operator",
        workspace(resource=f"{{{SIZE}, labelSelector: {{matchExpressions: [{{key: a, operator: Exists}}]}}}}"),
        "Workspace phi.resource.labelSelector.matchExpressions[0].operator",
        ('"Exists"', "In, as in KAITO", "matchLabels: {a: VALUE}"),
    ),
    Case(
        "several values",
        workspace(
            resource=f"{{{SIZE}, labelSelector: {{matchExpressions: [{{key: a, operator: In, values: [b, c]}}]}}}}"
        ),
        "Workspace phi.resource.labelSelector.matchExpressions[0].values",
        ("2 values", "one label in common"),
    ),
    Case(
        "reserved labels only",
        workspace(resource=f"{{{SIZE}, labelSelector: {{matchLabels: {{kaito.sh/workspace: phi}}}}}}"),
        "Workspace phi.resource.labelSelector.matchLabels",
        ("only kaito.sh/workspace", "at least one label that is not reserved"),
    ),
    Case(
        "count in quotes",
        workspace(resource=f'{{{SIZE}, count: "2", {SELECTOR}}}'),
        "Workspace phi.resource.count",
        ("remove the quotes",),
    ),
    Case(
        "a label that is a number",
        workspace(resource=f"{{{SIZE}, labelSelector: {{matchLabels: {{gpus: 2}}}}}}"),
        "Workspace phi.resource.labelSelector.matchLabels.gpus",
        ('gpus: "2"',),
    ),
    Case(
        "a size on existing nodes",
        workspace(),
        "Workspace phi.resource.instanceType",
        ("must be empty", "BYO", "remove it"),
        existing_nodes=True,
    ),
    Case(
        "a partition of nodes that are made",
        partition("{mode: mig, profile: 1g.10gb}"),
        "Workspace phi.resource.partition",
        ("existing nodes (KAITO's BYO) only", "{nodes: existing}"),
    ),
    Case(
        "a partition in v1alpha1",
        partition("{mode: accelerator, count: 1}").replace("v1beta1", "v1alpha1"),
        "Workspace phi.resource.partition",
        ("unknown field partition", "write apiVersion: kaito.sh/v1beta1"),
        existing_nodes=True,
    ),
    Case(
        "an unknown mode",
        partition("{mode: mps}"),
        "Workspace phi.resource.partition.mode",
        ("mig, accelerator",),
        existing_nodes=True,
    ),
    Case(
        "an unknown profile",
        partition("{mode: mig, profile: 1g.11gb}"),
        "Workspace phi.resource.partition.profile",
        ("a MIG profile", "did you mean 1g.1"),
        existing_nodes=True,
    ),
    Case(
        "no profile",
        partition("{mode: mig}"),
        "Workspace phi.resource.partition.profile",
        ("nothing", "7g.141gb"),
        existing_nodes=True,
    ),
    Case(
        "mode mig with count",
        partition("{mode: mig, profile: 1g.10gb, count: 1}"),
        "Workspace phi.resource.partition.count",
        ("count is for mode accelerator",),
        existing_nodes=True,
    ),
    Case(
        "mode accelerator with profile",
        partition("{mode: accelerator, profile: 1g.10gb, count: 1}"),
        "Workspace phi.resource.partition.profile",
        ("profile is for mode mig",),
        existing_nodes=True,
    ),
    Case(
        "mode accelerator without count",
        partition("{mode: accelerator}"),
        "Workspace phi.resource.partition.count",
        ("required with mode accelerator", "add count: 1"),
        existing_nodes=True,
    ),
    Case(
        "no GPU of a node",
        partition("{mode: accelerator, count: 0}"),
        "Workspace phi.resource.partition.count",
        ("at least 1",),
        existing_nodes=True,
    ),
    # annotations
    Case(
        "an unknown runtime",
        annotated("kaito.sh/runtime", "vlm"),
        'Workspace phi.metadata.annotations["kaito.sh/runtime"]',
        ("vllm, transformers", "write vllm"),
    ),
    Case(
        "an unknown image family",
        annotated("kaito.sh/node-image-family", "debian"),
        'Workspace phi.metadata.annotations["kaito.sh/node-image-family"]',
        ("ubuntu, azurelinux",),
    ),
    Case(
        "an unknown performance mode",
        annotated("kaito.sh/performance-mode", "fast"),
        'Workspace phi.metadata.annotations["kaito.sh/performance-mode"]',
        ("balanced, interactivity, throughput",),
    ),
    Case(
        "local weights neither on nor off",
        annotated("kaito.sh/use-local-weights", "'yes'"),
        'Workspace phi.metadata.annotations["kaito.sh/use-local-weights"]',
        ("true, false",),
    ),
    # InferenceSet
    Case(
        "fewer than no replicas", inference_set(spec="replicas: -1"), "InferenceSet chat.spec.replicas", ("at least 0",)
    ),
    Case(
        "a size of existing nodes in an InferenceSet",
        inference_set(),
        "InferenceSet chat.spec.template.resource.instanceType",
        ("must be empty",),
        existing_nodes=True,
    ),
    Case(
        "count in an InferenceSet",
        inference_set(resource="{count: 2}"),
        "InferenceSet chat.spec.template.resource.count",
        ("unknown field count",),
    ),
    Case(
        "a partition in an InferenceSet of v1alpha1",
        inference_set(version="v1alpha1", resource="{partition: {mode: mig, profile: 1g.10gb}}"),
        "InferenceSet chat.spec.template.resource.partition",
        ("kaito.sh/v1beta1",),
        existing_nodes=True,
    ),
    Case(
        "an InferenceSet without labels",
        inference_set().replace("labelSelector", "#"),
        "InferenceSet chat.spec.labelSelector",
        ("required",),
    ),
    Case(
        "resource beside spec",
        inference_set() + f"resource: {RESOURCE}\n",
        "InferenceSet chat.resource",
        ("unknown field resource",),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_mistake_is_refused_once_where_it_stands_with_what_to_do(case: Case) -> None:
    check(case)


def test_no_case_stands_twice() -> None:
    assert len({(case.text, case.existing_nodes) for case in CASES}) == len(CASES)
