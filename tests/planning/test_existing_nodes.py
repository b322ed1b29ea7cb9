"""Plans on nodes that exist: which of them a workspace takes, and that none is promised twice."""

from __future__ import annotations

from tests.planning.builders import only, plan_of, problem_of

BIG_NODES = """
kubernetes:
  nodes: existing
  existing:
    - labels: {nvidia.com/gpu.product: NVIDIA-A100-SXM4-80GB, nvidia.com/gpu.count: "8", nvidia.com/gpu.memory: "81920",
               nvidia.com/gpu.compute.major: "8", nvidia.com/gpu.compute.minor: "0", pool: big}
      count: 2
      pricePerHour: 20
"""


def test_existing_nodes_are_known_by_their_labels() -> None:
    text = "target: kubernetes\nworkspaces:\n  - name: chat\n    inference: {preset: {name: phi-4}}\n"
    selected = text + "    resource: {labelSelector: {matchLabels: {pool: big}}}\n" + BIG_NODES
    chosen = only(selected)
    assert (chosen.nodes, chosen.replicas, chosen.per_hour) == (1, 8, 20)
    assert chosen.node is not None
    assert chosen.node.existing
    nobody = text + "    resource: {labelSelector: {matchLabels: {pool: small}}}\n" + BIG_NODES
    assert problem_of(nobody).path == "modelyard:workspaces[0].resource.labelSelector"
    size = text + "    resource: {instanceType: Standard_NC6s_v3}\n" + BIG_NODES
    assert "no node is made" in problem_of(size).allowed


def test_existing_nodes_are_not_promised_twice() -> None:
    lines = "".join(
        f"  - name: chat-{number}\n    inference: {{preset: {{name: phi-4}}}}\n    replicas: 8\n" for number in range(3)
    )
    problem = problem_of(f"target: kubernetes\nworkspaces:\n{lines}{BIG_NODES}")
    assert problem.found == "24 GPUs needed: chat-0 8, chat-1 8, chat-2 8"
    assert problem.allowed == "16: as many as 2 of these nodes have"


def on_existing(groups: str, *workspaces: str) -> str:
    lines = "\n".join(f"  - {{name: w{number}, {fields}}}" for number, fields in enumerate(workspaces))
    return f"target: kubernetes\nkubernetes: {{nodes: existing, existing: [{groups}]}}\nworkspaces:\n{lines}"


A100_LABELS = "nvidia.com/gpu.product: NVIDIA-A100-SXM4-80GB, nvidia.com/gpu.memory: '81920'"
PHI_MINI = "inference: {preset: {name: phi-3-mini-4k-instruct}}"
EIGHT = (
    f"{{labels: {{{A100_LABELS}, nvidia.com/gpu.count: '8', "
    "nvidia.com/gpu.compute.major: '8', nvidia.com/gpu.compute.minor: '0'}}"
)
SLICED = (
    f"{{labels: {{{A100_LABELS}, nvidia.com/gpu.count: '1', "
    "nvidia.com/mig-2g.20gb.count: '3', nvidia.com/mig-2g.20gb.memory: '19968'}}"
)


def test_workspaces_share_a_node_whose_gpus_suffice_for_both() -> None:
    half = f"{PHI_MINI}, resource: {{partition: {{mode: accelerator, count: 4}}}}"
    assert len(plan_of(on_existing(EIGHT, half, half)).placed) == 2
    assert "12 GPUs needed" in problem_of(on_existing(EIGHT, half, half, half)).found
    two = f"{PHI_MINI}, replicas: 3"
    assert len(plan_of(on_existing(EIGHT, two, two)).placed) == 2
    slice_each = f"{PHI_MINI}, replicas: 1, resource: {{partition: {{mode: mig, profile: 2g.20gb}}}}"
    assert len(plan_of(on_existing(SLICED, slice_each, slice_each)).placed) == 2
    assert "4 slices 2g.20gb needed" in problem_of(on_existing(SLICED, *[slice_each] * 4)).found


def test_a_workspace_takes_the_group_that_has_room_and_can_serve_it() -> None:
    one = f"{PHI_MINI}, replicas: 8"
    groups = [each.node.size_name for each in plan_of(on_existing(f"{EIGHT}, {EIGHT}", one, one)).placed if each.node]
    assert groups == ["NVIDIA-A100-SXM4-80GB [group 1]", "NVIDIA-A100-SXM4-80GB [group 2]"]
    mig = f"{PHI_MINI}, replicas: 1, resource: {{partition: {{mode: mig, profile: 2g.20gb}}}}"
    (placed,) = plan_of(on_existing(f"{EIGHT}, {SLICED}", mig)).placed
    assert placed.node is not None
    assert placed.node.size_name.endswith("[group 2]")
    assert problem_of(on_existing(EIGHT, mig)).path == "modelyard:workspaces[0].resource.partition.profile"


def test_labels_that_cannot_be_read_are_told_once() -> None:
    problem = problem_of(on_existing("{labels: {pool: a}}", PHI_MINI, PHI_MINI))
    assert problem.path == "modelyard:kubernetes.existing[0].labels"
    assert "nvidia.com/gpu.product" in problem.allowed


def test_existing_nodes_that_nobody_described_are_planned_without_figures() -> None:
    text = """
target: kubernetes
workspaces:
  - name: chat
    inference: {preset: {name: phi-4}}
kubernetes: {nodes: existing}
"""
    assert only(text).node is None
    assert "whether the model fits, and how it is divided, is not known" in "\n".join(plan_of(text).warnings)
