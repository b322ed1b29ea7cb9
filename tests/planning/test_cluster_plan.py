"""Plans on nodes of a cluster: which size, how many, what it costs, and what a person is told."""

from __future__ import annotations

import random
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from components.planning.errors import SpecError
from components.planning.plan import Plan
from components.planning.preview import Before, preview
from components.planning.spec import Surroundings
from presets.catalog import catalog
from presets.placement import Placement
from presets.tuning_placement import TuningPlacement
from tests.planning.builders import only, plan_of, problem_of

TUNING = """
    tuning:
      preset: {name: phi-3-mini-4k-instruct}
      method: qlora
      input: {urls: ["https://example.com/data.parquet"]}
      output: {image: "registry.example.com/adapter:1", imagePushSecret: push}
"""


def served(preset: str, more: str = "", *, name: str = "chat", config: str = "", resource: str = "") -> str:
    """A stack on aks with one workspace."""
    parts = [f"preset: {{name: {preset}}}", *([f"config: {{{config}}}"] if config else [])]
    lines = ["target: aks", "workspaces:", f"  - name: {name}", f"    inference: {{{', '.join(parts)}}}"]
    lines += [f"    resource: {{{resource}}}"] if resource else []
    return "\n".join([*lines, more])


def warnings_of(text: str) -> str:
    return "\n".join(plan_of(text).warnings)


def test_the_seed_s_workspace_runs_on_the_node_that_it_names() -> None:
    chosen = only(served("phi-3-mini-4k-instruct", resource="instanceType: Standard_NC6s_v3"))
    assert chosen.node is not None
    assert (chosen.node.name, chosen.nodes, chosen.per_hour) == ("Standard_NC6s_v3", 1, 3.06)
    assert chosen.reason == "asked for"


def test_without_a_size_the_cheapest_that_fits_is_chosen_and_the_plan_says_why() -> None:
    chosen = only(served("phi-4"))
    assert chosen.node is not None
    assert chosen.node.name == "Standard_NC4as_T4_v3"
    assert chosen.nodes == 3
    assert chosen.reason.startswith("the cheapest of ")
    money = [other.per_hour for other in chosen.alternatives if not other.reason and other.per_hour is not None]
    assert money == sorted(money)
    assert chosen.per_hour is not None
    assert all(other >= chosen.per_hour for other in money)


def test_a_size_that_spreads_a_replica_over_many_nodes_is_only_taken_where_it_is_asked_for() -> None:
    chosen = only(served("llama-3.3-70b-instruct", config="maxContext: 32768"))
    assert isinstance(chosen.model, Placement)
    assert chosen.model.nodes_of_replica <= 4
    assert "would spread a replica over more than 4 nodes" in chosen.reason
    asked = only(
        served("llama-3.3-70b-instruct", config="maxContext: 32768", resource="instanceType: Standard_NC4as_T4_v3")
    )
    assert asked.nodes > 4


def test_a_target_that_makes_no_replica_over_several_nodes_takes_a_size_that_needs_none() -> None:
    planned_only = served("llama-3.3-70b-instruct", config="maxContext: 32768, maxSequences: 1")
    made = only(planned_only.replace("target: aks", "target: kubernetes"))
    assert isinstance(made.model, Placement)
    assert made.model.nodes_of_replica == 1
    assert "would spread a replica over more than one node" in made.reason


def test_a_count_is_honoured_or_refused_with_the_number_that_would_do() -> None:
    a100 = "instanceType: Standard_NC24ads_A100_v4, count: "
    assert only(served("phi-4", resource=f"{a100}2")).replicas == 2
    few = problem_of(served("llama-3.3-70b-instruct", config="maxContext: 32768", resource=f"{a100}1"))
    assert few.path == "modelyard:workspaces[0].resource.count"
    assert few.found == "a replica needs 3 x Standard_NC24ads_A100_v4, and resource.count is 1"
    assert few.do.startswith("write count: 3; or instanceType: Standard_NC80adis_H100_v5")


def test_a_size_that_is_too_small_is_refused_with_the_parts_of_what_is_needed_and_the_cheapest_that_would_do() -> None:
    problem = problem_of(served("phi-4", resource="instanceType: Standard_NC6s_v3"))
    assert problem.path == "modelyard:workspaces[0].resource.instanceType"
    assert "weights 27.3" in problem.allowed
    assert "14.2 GiB to plan for" in problem.allowed
    assert problem.do == "write instanceType: Standard_NC4as_T4_v3 with 3 nodes (US$ 1.58/h)"


def test_a_context_that_does_not_fit_is_refused_with_one_that_does() -> None:
    problem = problem_of(
        served("phi-3-mini-128k-instruct", config="maxContext: 32768", resource="instanceType: Standard_NC6s_v3")
    )
    assert problem.do.startswith("ask for less: 2 sequences of 7680 tokens fit on 1 of it; or write instanceType: ")


def test_a_size_that_nobody_sells_is_refused_with_those_that_look_like_it() -> None:
    problem = problem_of(served("phi-4", resource="instanceType: Standard_NC24ads_A100"))
    assert problem.do == "write Standard_NC24ads_A100_v4"
    assert "(1 x A100-80GB)" in problem.allowed


def test_what_does_not_fit_can_be_planned_all_the_same_with_a_warning() -> None:
    text = served("phi-4", resource="instanceType: Standard_NC6s_v3, skipMemoryCheck: true")
    assert only(text).nodes == 1
    assert "does not fit by our arithmetic" in warnings_of(text)


def test_the_part_of_the_memory_that_vllm_is_given_is_what_is_planned_with() -> None:
    a100 = "instanceType: Standard_NC24ads_A100_v4"
    usual, less = only(served("phi-4", resource=a100)), "vllm: {gpu-memory-utilization: 0.5}"
    half = only(served("phi-4", config=less, resource=a100))
    assert isinstance(usual.model, Placement)
    assert isinstance(half.model, Placement)
    assert half.model.room * 9 == pytest.approx(usual.model.room * 5, rel=1e-6)
    assert half.model.load.sequences < usual.model.load.sequences
    wrong = problem_of(served("phi-4", config="vllm: {gpu-memory-utilization: 90}"))
    assert wrong.path == "modelyard:workspaces[0].inference.config.vllm.gpu-memory-utilization"


def test_a_tensor_parallel_size_that_is_asked_for_is_used_or_refused_with_those_that_there_are() -> None:
    on = "instanceType: Standard_NC96ads_A100_v4"
    two = only(served("llama-3.1-8b-instruct", config="vllm: {tensor-parallel-size: 2}", resource=on))
    assert isinstance(two.model, Placement)
    assert (two.model.split.tensor, two.replicas) == (2, 2)
    three = problem_of(served("llama-3.1-8b-instruct", config="vllm: {tensor-parallel-size: 3}", resource=on))
    assert "tensor parallel size 3 is asked for" in three.allowed
    assert "can have 1, 2, 4" in three.allowed


@pytest.mark.parametrize(
    ("argument", "do"),
    [
        ("max-model-len: 4096", "write inference.config.maxContext instead"),
        ("max_num_seqs: 4", "write inference.config.maxSequences instead"),
        ("pipeline-parallel-size: 2", "remove it; the plan says what it will be"),
        ("logprobs-mode: processed_logits", "remove it; the plan says what it will be"),
        ("enforce_eager: true", "write enforce-eager"),
        ("api-key: sk-1", "remove it; a token for the hub is named by preset.presetOptions.modelAccessSecret"),
    ],
)
def test_an_argument_of_vllm_that_would_contradict_the_plan_is_refused(argument: str, do: str) -> None:
    problem = problem_of(served("phi-4", config=f"vllm: {{{argument}}}"))
    assert problem.do == do
    assert "sk-1" not in str(problem)


@pytest.mark.parametrize(
    ("config", "path", "words"),
    [
        ("LoraConfig: {r: '64'}", "LoraConfig.r", '"64"'),
        (
            "LoraConfig: {target_modules: [foo]}",
            "LoraConfig.target_modules",
            "no projection that adapters are known for",
        ),
        ("LoraConfig: {target_modules: [q_a_proj]}", "LoraConfig.target_modules", "no layer has a q_a_proj"),
        ("LoraConfig: {target_modules: [1]}", "LoraConfig.target_modules", "a list of modules' names"),
        ("TrainingArguments: {max_length: 5000}", "TrainingArguments.max_length", "from 1 to 4096"),
        ("TrainingArguments: {gradient_checkpointing: 1}", "TrainingArguments.gradient_checkpointing", "true or false"),
    ],
)
def test_a_value_of_a_tuning_that_memory_follows_from_is_read_or_refused(config: str, path: str, words: str) -> None:
    problem = problem_of(f"target: aks\nworkspaces:\n  - name: tune{TUNING}      config: {{{config}}}")
    assert problem.path == f"modelyard:workspaces[0].tuning.config.{path}"
    assert words in f"{problem.found} {problem.allowed}"


@pytest.mark.parametrize("method", ["lora", "qlora"])
@pytest.mark.parametrize("preset", sorted(catalog()))
def test_every_preset_is_tuned_or_refused_in_words(preset: str, method: str) -> None:
    text = f"target: aks\nworkspaces:\n  - name: tune{TUNING}".replace("qlora", method).replace(
        "phi-3-mini-4k-instruct", preset
    )
    plan = planned(yaml.safe_load(text))
    assert isinstance(plan, str) or plan.placed[0].model is not None


def test_weights_in_8_bits_need_more_than_in_4() -> None:
    text = f"target: aks\nworkspaces:\n  - name: tune\n    resource: {{instanceType: Standard_NC24ads_A100_v4}}{TUNING}"
    four = only(text)
    eight = only(f"{text}      config: {{QuantizationConfig: {{load_in_8bit: true}}}}")
    assert isinstance(four.model, TuningPlacement)
    assert isinstance(eight.model, TuningPlacement)
    assert eight.model.need.parts()["weights"] > 1.5 * four.model.need.parts()["weights"]
    assert (four.model.quantization, eight.model.quantization) == ("nf4", "int8"), "the plan says which of them it is"


def test_all_that_is_wrong_comes_at_once_whether_it_is_a_word_or_the_memory() -> None:
    text = served("phi-4", resource="instanceType: Standard_NC6s_v3") + "\n  - name: other\n    inferenz: {}"
    with pytest.raises(SpecError) as refused:
        plan_of(text)
    paths = [problem.path for problem in refused.value.problems]
    assert "modelyard:workspaces[0].resource.instanceType" in paths
    assert "modelyard:workspaces[1].inferenz" in paths


def test_a_tuning_job_is_one_node_with_the_memory_of_a_step() -> None:
    text = f"target: aks\nworkspaces:\n  - name: tune\n    resource: {{instanceType: Standard_NC6s_v3}}{TUNING}"
    job = only(text)
    assert job.kind == "tuning"
    assert isinstance(job.model, TuningPlacement)
    assert job.nodes == 1
    assert job.model.need.total == sum(job.model.need.parts().values())
    assert job.model.need.total <= job.model.room


def test_a_template_has_nodes_and_a_price_and_needs_a_size() -> None:
    text = "target: kubernetes\nworkspaces:\n  - name: own\n    inference: {template: {spec: {containers: []}}}\n"
    assert problem_of(text).path == "modelyard:workspaces[0].resource.instanceType"
    own = only(text + "    resource: {instanceType: Standard_NC24ads_A100_v4, count: 2}")
    assert (own.kind, own.nodes, own.per_hour) == ("template", 2, pytest.approx(7.346))


def test_a_team_s_own_prices_and_region_are_used() -> None:
    text = served("phi-4", resource="instanceType: Standard_NC24ads_A100_v4") + "\nprices: {file: prices.yaml}"
    own = {"currency": "EUR", "sizes": {"Standard_NC24ads_A100_v4": 2.5}}
    plan = plan_of(text, around=Surroundings(price_file=own))
    assert plan.placed[0].per_hour == 2.5
    assert plan.prices.currency == "EUR"
    factor = served("phi-4", resource="instanceType: Standard_NC24ads_A100_v4") + (
        "\nregion: westeurope\nprices: {regionFactor: 2}"
    )
    assert only(factor).per_hour == pytest.approx(2 * 3.673)
    with pytest.raises(SpecError, match=r"prices.yaml: sizes.Standard_NC24ads"):
        plan_of(text, around=Surroundings(price_file={"currency": "EUR", "sizes": {"Standard_NC24ads": 1}}))
    with pytest.raises(SpecError, match="No such file"):
        plan_of(text, around=Surroundings(price_file_error="No such file"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (served("llama-3.1-8b-instruct"), "is gated, and presetOptions.modelAccessSecret names no Secret"),
        (served("llama-3.1-8b-instruct"), "the licence of llama-3.1-8b-instruct"),
        (served("minimax-m2.7"), "forbids commercial use"),
        (served("phi-4", resource="instanceType: Standard_NC24ads_A100_v4"), "24 vCPUs of StandardNCADSA100v4Family"),
        (served("phi-4", resource="spot: true"), "vCPUs of lowPriorityCores (spot) (chat "),
        (served("phi-3-mini-4k-instruct", resource="instanceType: Standard_NC6s_v3"), "Azure retired the NCv3 series"),
        (served("phi-3-mini-128k-instruct"), "context is cut to "),
        (
            served("deepseek-v3-0324", resource="instanceType: Standard_ND96isr_H200_v5"),
            "price of Standard_ND96isr_H200",
        ),
        (
            served("phi-4", "region: westus", resource="instanceType: Standard_NCC40ads_H100_v5"),
            "is not offered in westus",
        ),
        (served("llama-3.3-70b-instruct", resource="instanceType: Standard_NC24ads_A100_v4"), "over Ethernet"),
    ],
)
def test_a_person_is_warned(text: str, words: str) -> None:
    assert words in warnings_of(text)


def test_a_gated_model_with_a_token_is_not_warned_of() -> None:
    text = """
    target: aks
    workspaces:
      - name: chat
        inference: {preset: {name: llama-3.1-8b-instruct, presetOptions: {modelAccessSecret: hub}}}
    """
    assert "gated" not in warnings_of(text)


def test_the_total_is_the_sum_of_the_rows_and_the_difference_is_from_what_is_deployed() -> None:
    lines = "\n".join(
        [
            served("phi-4", resource="instanceType: Standard_NC24ads_A100_v4"),
            "  - name: other",
            "    inference: {preset: {name: phi-3-mini-4k-instruct}}",
            "    resource: {instanceType: Standard_NC6s_v3}",
        ]
    )
    report = preview(plan_of(lines), Before(records={"chat": {"target": "aks", "perHour": 3.673}}), stack="prod")
    assert report.per_hour == pytest.approx(3.673 + 3.06)
    assert report.difference_per_hour == pytest.approx(3.06)
    assert report.per_month == pytest.approx(report.per_hour * 730)
    assert report.workspaces[0].per_million_tokens == pytest.approx(3.673 / (6265 * 3600 / 1e6))


JsonDict = dict[str, Any]
wanted = st.fixed_dictionaries(
    {"preset": st.fixed_dictionaries({"name": st.sampled_from(sorted(catalog()))})},
    optional={"config": st.fixed_dictionaries({}, optional={"maxContext": st.integers(1, 2048)})},
)
stacks = st.lists(wanted, min_size=1, max_size=4)


def stack_of(models: list[JsonDict]) -> JsonDict:
    items = [{"name": f"w{number}", "inference": inference} for number, inference in enumerate(models)]
    return {"target": "aks", "workspaces": items}


def planned(stack: JsonDict) -> Plan | str:
    try:
        return plan_of(yaml.safe_dump(stack))
    except SpecError as refused:
        return "\n".join(sorted(problem.found for problem in refused.problems))


def without_places(plan: Plan | str) -> object:
    """A plan but for where its workspaces stand in the file."""
    if isinstance(plan, str):
        return plan
    return [{**vars(each), "place": None} for each in plan.placed], plan.warnings


@given(stacks, st.randoms(use_true_random=False))
@settings(max_examples=25, deadline=None)
def test_a_plan_does_not_depend_on_the_order_of_the_config(models: list[JsonDict], dice: random.Random) -> None:
    stack = stack_of(models)
    other = {**stack, "workspaces": dice.sample(stack["workspaces"], len(stack["workspaces"]))}
    assert without_places(planned(other)) == without_places(planned(stack))
