"""What a preview says that an update will do to workspaces on nodes."""

from __future__ import annotations

import json

import pytest

from components.planning.change_rules import RULES, Effect, effect_of
from components.planning.config import InferenceConfig, ResourceSpec, TuningSpec, WorkspaceSpec
from components.planning.plan import Plan
from components.planning.preview import Before, preview, refusals
from components.planning.record import Record, local_record, placed_record
from tests.planning.builders import chat, plan_of

A100 = "resource: {instanceType: Standard_NC24ads_A100_v4}"
PHI = "inference: {preset: {name: phi-4}}"
ADAPTED = (
    "inference: {preset: {name: phi-4}, adapters: [{source: {name: pirate, image: 'registry.example.com/pirate:1'}}]}"
)
TRANSFORMERS = "engine: transformers"
EXISTING = """
kubernetes:
  nodes: existing
  existing:
    - labels: {nvidia.com/gpu.product: NVIDIA-A100-SXM4-80GB, nvidia.com/gpu.count: "1", nvidia.com/gpu.memory: "81920",
               nvidia.com/gpu.compute.major: "8", nvidia.com/gpu.compute.minor: "0"}
      count: %d
"""
TUNING = (
    "tuning: {preset: {name: phi-4}, method: %s, input: {urls: ['https://example.com/%s.csv']}, "
    "output: {image: 'registry.example.com/tuned:1', imagePushSecret: push}}"
)


def stack(*fields: str, more: str = "") -> Plan:
    return plan_of(f"target: aks\nworkspaces: [{{name: chat, {', '.join(fields)}}}]{more}")


def records(plan: Plan) -> dict[str, Record]:
    """As they come back from a state: through JSON."""
    return json.loads(
        json.dumps({each.name: placed_record(each, plan.target, plan.prices.currency) for each in plan.placed})
    )


def change(before: Plan, after: Plan) -> str:
    report = preview(after, Before(records=records(before)), stack="prod")
    return {row.name: row.change for row in report.workspaces}["chat"]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ((A100, PHI), (A100, PHI), "no change"),
        (
            (A100, PHI, TRANSFORMERS),
            (A100, ADAPTED, TRANSFORMERS),
            "adapters change in place, no request lost",
        ),
        (
            (A100, PHI),
            (A100, ADAPTED),
            "new adapter slots → new replicas beside the old ones, needs 1 more Standard_NC24ads_A100_v4 "
            "(US$ 3.67/h) for about 15 min",
        ),
        ((A100, PHI), (A100, PHI, "loadBalancer: true"), "loadBalancer changes in place, no request lost"),
        (
            (A100, PHI),
            (A100, "inference: {preset: {name: phi-4}, config: {sampling: {temperature: 0}, maxWaitingRequests: 9}}"),
            "sampling, maxWaitingRequests change in place, no request lost",
        ),
        ((A100, PHI), (A100, PHI, "replicas: 3"), "replicas 1 → 3, the others stay"),
        (
            (A100, PHI),
            (A100, "inference: {preset: {name: phi-4-mini-instruct}}"),
            "new preset, weights, maxContext, maxSequences → new replicas beside the old ones, needs 1 more "
            "Standard_NC24ads_A100_v4 (US$ 3.67/h) for about 15 min",
        ),
        (
            (A100, PHI),
            (A100, "inference: {preset: {name: phi-4}, config: {quantization: nf4, maxSequences: 4}}"),
            "new quantization, maxSequences → new replicas beside the old ones, needs 1 more "
            "Standard_NC24ads_A100_v4 (US$ 3.67/h) for about 15 min",
        ),
        (
            (A100, PHI),
            ("resource: {instanceType: Standard_NC40ads_H100_v5}", PHI),
            "new instanceType, maxSequences → new nodes and replicas beside the old ones, needs 1 more "
            "Standard_NC40ads_H100_v5 (US$ 6.98/h) for about 15 min",
        ),
        ((A100, TUNING % ("lora", "a")), (A100, TUNING % ("lora", "b")), "new input → the tuning job runs again, "
         "the adapter is published again"),
        ((A100, TUNING % ("lora", "a")), (A100, TUNING % ("qlora", "a")), "new method → the tuning job runs again, "
         "the adapter is published again"),
    ],
)  # fmt: skip
def test_a_change_says_what_it_replaces_and_what_that_takes(
    before: tuple[str, ...], after: tuple[str, ...], said: str
) -> None:
    assert change(stack(*before), stack(*after)) == said


def test_existing_nodes_take_new_replicas_beside_the_old_ones_only_where_one_is_free() -> None:
    other = "inference: {preset: {name: phi-4-mini-instruct}}"
    full, spare = EXISTING % 1, EXISTING % 2
    assert "after the old ones, requests wait about 15 min: no existing node is free" in change(
        stack(PHI, more=full), stack(other, more=full)
    )
    assert "beside the old ones" in change(stack(PHI, more=spare), stack(other, more=spare))


def test_an_image_that_is_fetched_and_not_mounted_any_more_makes_new_pods() -> None:
    image = "inference: {preset: {name: phi-4, presetOptions: {image: 'registry.example.com/phi:1'}}}"
    karpenter = f"target: kubernetes\nkubernetes: {{nodes: karpenter%s}}\nworkspaces: [{{name: chat, {A100}, {image}}}]"
    mounted, fetched = plan_of(karpenter % ""), plan_of(karpenter % ", imageVolumes: false")
    assert change(mounted, fetched).startswith("new pod settings → new replicas beside the old ones")


def test_workspaces_come_and_go_and_change_their_target() -> None:
    plan = stack(A100, PHI)
    assert change(plan_of("target: aks\nworkspaces: []"), plan) == "create"
    assert change(plan, plan_of("target: aks\nworkspaces: []")) == "delete"
    here = plan_of(chat())
    before = Before(records={"chat": local_record(here.workspaces[0])})
    assert preview(plan, before, stack="prod").workspaces[0].change == "create on aks, delete on local"
    there = Before(records=records(plan))
    rows = preview(plan_of(chat().replace("chat", "other")), there, stack="dev").workspaces
    assert {row.name: row.change for row in rows} == {"chat": "delete on aks", "other": "create"}


def test_only_another_price_is_said_to_be_that() -> None:
    plan = stack(A100, PHI)
    cheaper: dict[str, Record] = {"chat": {**records(plan)["chat"], "perHour": 3.0}}
    (row,) = preview(plan, Before(records=cheaper), stack="prod").workspaces
    assert row.change == "no change but the price: US$ 3.00/h → US$ 3.67/h"


def test_a_workspace_that_serves_cannot_become_one_that_tunes() -> None:
    serving, tuning = stack(A100, PHI), stack(A100, TUNING % ("lora", "a"))
    (problem,) = refusals(tuning, Before(records=records(serving)))
    assert problem.found == "tuning, and what is deployed under this name is inference"
    assert "chat-2" in problem.do
    assert not refusals(tuning, Before(records=records(tuning)))


def test_a_stack_file_that_lost_its_workspaces_does_not_end_them() -> None:
    before = Before(records=records(stack(A100, PHI)))
    (problem,) = refusals(plan_of("target: aks"), before)
    assert problem.found == "nothing, while chat is deployed"
    assert not refusals(plan_of("target: aks\nworkspaces: []"), before)
    assert not refusals(plan_of("target: aks"), Before())


def test_every_setting_of_a_record_has_a_rule() -> None:
    for plan in (stack(A100, ADAPTED), stack(A100, TUNING % ("lora", "a"))):
        for setting in records(plan)["chat"]:
            assert setting in ("name", "target") or effect_of(setting) in Effect


def test_every_field_of_the_config_is_in_the_rules_or_known_to_change_nothing_that_runs() -> None:
    without_effect = {
        "name", "resource", "inference", "tuning", "readyTimeoutSeconds",  # what they hold has rules
        "count",  # shows as replicas and nodes
        "skipMemoryCheck",  # only decides whether a plan is refused
        "config", "preset", "method", "input", "output",  # named otherwise in the record
    }  # fmt: skip
    models = (WorkspaceSpec, ResourceSpec, InferenceConfig, TuningSpec)
    fields = {field.alias or name for model in models for name, field in model.model_fields.items()}
    assert fields - without_effect <= RULES.keys(), "a field that may be changed says what its change does"
