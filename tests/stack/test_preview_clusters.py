"""Previews of targets that need a cloud, without one: through the real CLI, from config and from KAITO's manifests."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from components.planning.record import Record, placed_record
from tests.planning.builders import plan_of
from tests.stack.yard import STACK, Yard, workspace

pytestmark = pytest.mark.stack

A100 = {"instanceType": "Standard_NC24ads_A100_v4"}
PHI_4 = """
target: aks
workspaces:
  - {name: chat, inference: {preset: {name: phi-4}}, resource: {instanceType: Standard_NC24ads_A100_v4}}
"""


def manifest(yard: Yard, name: str, preset: str, more: str = "") -> Path:
    """A Workspace as KAITO's quick start has it."""
    file = yard.folder / "manifests" / f"{name}.yaml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(
        f"""
apiVersion: kaito.sh/v1alpha1
kind: Workspace
metadata:
  name: {name}
resource:
  instanceType: "Standard_NC6s_v3"
  labelSelector:
    matchLabels:
      apps: phi-3
inference:
  preset:
    name: {preset}
{more}"""
    )
    return file


def deployed(yard: Yard, records: dict[str, Record]) -> None:
    """Put workspaces into the state, as an update of a target that provisions would leave them."""
    stack: dict[str, Any] = json.loads(yard.run("pulumi", "stack", "export", "-s", STACK).expect().text)
    root = f"urn:pulumi:{STACK}::modelyard::pulumi:pulumi:Stack::modelyard-{STACK}"
    urn = f"urn:pulumi:{STACK}::modelyard::modelyard:index:Workspace::"
    stack["deployment"]["resources"] = [
        {"urn": root, "type": "pulumi:pulumi:Stack", "custom": False, "outputs": {"workspaces": {}}},
        *(
            {
                "urn": f"{urn}{name}",
                "type": "modelyard:index:Workspace",
                "custom": False,
                "parent": root,
                "outputs": {"plan": record},
            }
            for name, record in records.items()
        ),
    ]
    file = yard.folder / "state.json"
    file.write_text(json.dumps(stack))
    yard.run("pulumi", "stack", "import", "--file", str(file), "-s", STACK).expect()


def plan_command(yard: Yard, *arguments: str) -> str:
    return yard.run(sys.executable, "-m", "components.plan_command", "--stack", STACK, *arguments).expect().text


def test_kaito_s_manifests_are_previewed_unchanged_without_a_cloud(idle_yard: Yard) -> None:
    manifest(idle_yard, "workspace-phi-3-mini", "phi-3-mini-4k-instruct")
    manifest(idle_yard, "workspace-phi-3-mini-128k", "phi-3-mini-128k-instruct")
    idle_yard.configure(target="aks", manifests=["manifests/*.yaml"])
    shown = idle_yard.pulumi("preview").expect().text
    for words in (
        "1 x Standard_NC6s_v3",
        "1 V100-16GB",
        "4,096 x 3",
        "total: US$ 6.12/h, US$ 4,467.60 a month",
        "Azure retired the NCv3 series",
        "quota to have in eastus: 12 vCPUs",
        "modelyard:index:Workspace workspace-phi-3-mini",
    ):
        assert words in shown, shown


def test_an_update_of_a_target_that_is_only_planned_changes_nothing_and_says_so(idle_yard: Yard) -> None:
    idle_yard.configure(workspace("chat", "phi-4", resource=A100), target="aks")
    idle_yard.pulumi("preview").expect()
    refused = idle_yard.pulumi("up").expect_failure().text
    assert "target aks is planned and not provisioned in this version" in refused, refused
    assert "Traceback" not in refused, refused
    assert "modelyard:index:Workspace" not in idle_yard.pulumi("stack", "--show-urns").expect().text


def test_everything_that_is_wrong_is_told_at_once_in_the_manifests_too(idle_yard: Yard) -> None:
    file = manifest(idle_yard, "bad", "phi-3-mini-5k-instruct", "    presetOption: {}\n")
    idle_yard.configure(
        workspace("big", "phi-4", resource={"instanceType": "Standard_NC6s_v3"}),
        target="aks",
        manifests=["manifests/*"],
    )
    refused = idle_yard.pulumi("preview").expect_failure().text
    assert f"manifests/{file.name}" in refused, refused
    assert "did you mean presetOptions" in refused, refused
    assert "modelyard:workspaces[0].resource.instanceType" in refused, refused
    assert "V100-16GB has 14.2 GiB to plan for" in refused, refused
    assert "Traceback" not in refused, refused


def test_a_preview_says_what_changes_and_what_it_costs_more_than_what_is_deployed(idle_yard: Yard) -> None:
    plan = plan_of(PHI_4)
    deployed(idle_yard, {each.name: placed_record(each, plan.target, plan.prices.currency) for each in plan.placed})
    idle_yard.configure(workspace("chat", "phi-4", resource=A100), target="aks")
    same = idle_yard.pulumi("preview").expect().text
    assert "no change" in same, same
    assert "the same as what is deployed" in same, same

    idle_yard.configure(
        workspace("chat", "phi-4-mini-instruct", resource=A100), workspace("more", "phi-4", resource=A100), target="aks"
    )
    shown = idle_yard.pulumi("preview").expect().text
    assert "US$ 3.67/h, US$ 2,681.29 a month more than what is deployed (US$ 3.67/h)" in shown, shown
    report = json.loads(plan_command(idle_yard, "--format", "json"))
    changes = {row["name"]: row["change"] for row in report["workspaces"]}
    assert changes["more"] == "create"
    assert changes["chat"].startswith("new preset"), changes
    assert "needs 1 more Standard_NC24ads_A100_v4 (US$ 3.67/h) for about 15 min" in changes["chat"], changes
    assert report["differencePerHour"] == pytest.approx(3.673)


def test_the_plan_without_pulumi_s_engine_is_the_same_plan(idle_yard: Yard) -> None:
    idle_yard.configure(workspace("chat", "phi-4", resource=A100), target="aks")
    shown = idle_yard.pulumi("preview").expect().text
    rows = [line for line in plan_command(idle_yard).splitlines() if line.startswith((" chat ", "chat: ", "total: "))]
    assert len(rows) >= 4, rows
    for row in rows:
        assert row.strip() in shown, f"{row}\nis not in\n{shown}"
    markdown = plan_command(idle_yard, "--format", "md")
    assert f"### Plan of stack `{STACK}` (target aks, eastus)" in markdown
    assert "| `chat` | phi-4 | 1 x Standard_NC24ads_A100_v4 |" in markdown


def test_a_team_s_own_prices_and_a_model_of_its_own_are_planned(idle_yard: Yard) -> None:
    (idle_yard.folder / "prices.yaml").write_text("{currency: EUR, sizes: {Standard_NC24ads_A100_v4: 2.5}}")
    model = idle_yard.folder / "model"
    model.mkdir()
    shape = {"hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4, "num_hidden_layers": 2}
    (model / "config.json").write_text(
        json.dumps(
            {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 100, **shape}
            | {"max_position_embeddings": 4096, "tie_word_embeddings": True, "num_key_value_heads": 2}
        )
    )
    header = json.dumps({"w": {"dtype": "BF16", "shape": [100, 64], "data_offsets": [0, 12800]}}).encode()
    (model / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(12800))
    idle_yard.configure(
        workspace("own", f"file:{model}", resource=A100), target="kubernetes", prices={"file": "prices.yaml"}
    )
    shown = idle_yard.pulumi("preview").expect().text
    assert "€ 2.50/h" in shown, shown
    assert "4,096 x 256" in shown, shown
