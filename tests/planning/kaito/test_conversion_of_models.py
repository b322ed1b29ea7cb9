"""What adapters, tuning and ConfigMaps of a KAITO manifest mean in our own config."""

from __future__ import annotations

import pytest

from tests.planning.kaito.reading import (
    IMAGE,
    config_map,
    read,
    the_workspace,
    tuning,
    tuning_with_config,
    warned,
    with_config,
    workspace,
)

# inference_config.yaml


def test_arguments_of_vllm_become_settings_and_the_others_are_handed_on() -> None:
    content = """\
        vllm:
          max-model-len: 4096
          max-num-seqs: 8
          dtype: half
          gpu-memory-utilization: 0.9
          enforce-eager: true
          tool-call-parser: hermes
    """
    assert the_workspace(with_config(content))["inference"]["config"] == {
        "maxContext": 4096,
        "maxSequences": 8,
        "dtype": "float16",
        "vllm": {"gpu-memory-utilization": 0.9, "enforce-eager": True, "tool-call-parser": "hermes"},
    }


@pytest.mark.parametrize(
    ("content", "config"),
    [
        ("vllm: {max-model-len: '4096'}", {"maxContext": 4096}),
        ("vllm: {max_model_len: 4096}", {"maxContext": 4096}),
        ("vllm: {max-model-len: ''}", None),
        ("vllm: {dtype: auto}", None),
        ("vllm: {quantization: bitsandbytes, load-format: bitsandbytes}", {"quantization": "nf4"}),
        ("vllm: {quantization: ''}", None),
        ("vllm: {pipeline_parallel_size: 2, --max-loras: 4, lora-modules: [a], served-model-name: phi}", None),
        ("vllm:", None),
        ("", None),
    ],
)
def test_an_argument_is_read_as_vllm_reads_it(content: str, config: dict[str, object] | None) -> None:
    assert the_workspace(with_config(content))["inference"].get("config") == config


@pytest.mark.parametrize("argument", ["pipeline-parallel-size: 2", "max_loras: 4", "--port: 5000", "enable-lora: true"])
def test_an_argument_that_follows_from_the_plan_is_named_as_not_honoured(argument: str) -> None:
    assert "not honoured: it follows from the plan" in warned(with_config(f"vllm: {{{argument}}}"))


@pytest.mark.parametrize(
    ("preset", "method"),
    [
        ("gpt-oss-20b", "mxfp4"),
        ("ministral-3-3b-instruct", "fp8"),
        ("ministral-3-3b-instruct", "compressed_tensors"),
    ],
)
def test_the_quantization_that_weights_are_published_in_is_named_as_nothing_new(preset: str, method: str) -> None:
    text = with_config(f"vllm: {{quantization: {method}}}", inference=f"preset: {{name: {preset}}}")
    assert "config" not in the_workspace(text)["inference"]
    assert "quantization: not honoured: the weights are published in" in warned(text)


def test_a_config_map_of_another_namespace_serves_no_workspace_of_the_default_one() -> None:
    used = workspace(inference="{preset: {name: phi-3-mini-4k-instruct}, config: settings}")
    (problem,) = read(used, config_map("vllm: {max-model-len: 1024}", metadata="namespace: x")).problems
    assert "a ConfigMap in namespace x" in problem.found
    assert "the namespace of the Workspace, default" in problem.allowed


@pytest.mark.parametrize("key", ["max_probe_steps", "kv_cache_cpu_memory_utilization"])
def test_what_only_kaito_reads_is_named_as_not_honoured(key: str) -> None:
    assert f"{key}: not honoured" in warned(with_config(f"{key}: 1"))


def test_arguments_at_the_top_are_named_as_not_honoured() -> None:
    assert "max-model-len: not honoured, as KAITO does not read it either" in warned(with_config("max-model-len: 9"))


def test_the_config_map_may_stand_in_another_file_after_its_workspace() -> None:
    used = workspace(inference="{preset: {name: phi-3-mini-4k-instruct}, config: settings}")
    raw = the_workspace(used, config_map("vllm: {max-model-len: 1024}"))
    assert raw["inference"]["config"] == {"maxContext": 1024}


def test_the_config_map_of_the_workspaces_own_namespace_is_read() -> None:
    used = workspace(inference="{preset: {name: phi-3-mini-4k-instruct}, config: settings}", metadata="namespace: b")
    first = config_map("vllm: {max-model-len: 1}", metadata="namespace: a")
    second = config_map("vllm: {max-model-len: 2}", metadata="namespace: b")
    assert the_workspace(used, first, second)["inference"]["config"] == {"maxContext": 2}


def test_the_transformers_runtime_reads_no_config_map_as_in_kaito() -> None:
    text = workspace(
        inference="{preset: {name: phi-3-mini-4k-instruct}, config: settings}",
        metadata="annotations: {kaito.sh/runtime: transformers}",
    )
    assert "config" not in the_workspace(text)["inference"]
    assert "settings not honoured" in warned(text)


# adapters


@pytest.mark.parametrize("strength", ["0", "0.5", "1.0", "1"])
@pytest.mark.parametrize("runtime", ["vllm", "transformers"])
def test_a_strength_from_0_to_1_is_accepted_whatever_the_runtime(strength: str, runtime: str) -> None:
    adapter = f"{{source: {{name: pirate.v1, image: '{IMAGE}'}}, strength: '{strength}'}}"
    raw = the_workspace(
        workspace(
            inference=f"{{preset: {{name: phi-3-mini-4k-instruct}}, adapters: [{adapter}]}}",
            metadata=f"annotations: {{kaito.sh/runtime: {runtime}}}",
        )
    )
    (found,) = raw["inference"]["adapters"]
    assert found == {"source": {"name": "pirate.v1", "image": IMAGE}, "strength": strength}


def test_ten_adapters_are_accepted() -> None:
    sources = ", ".join(f"{{source: {{name: a{number}, image: '{IMAGE}'}}}}" for number in range(10))
    raw = the_workspace(workspace(inference=f"{{preset: {{name: phi-3-mini-4k-instruct}}, adapters: [{sources}]}}"))
    assert len(raw["inference"]["adapters"]) == 10


# tuning


def test_a_tuning_gets_kaitos_rank_which_is_not_our_default() -> None:
    raw = the_workspace(tuning(method="QLoRA"))
    assert raw["tuning"]["method"] == "qlora"
    assert raw["tuning"]["config"] == {"LoraConfig": {"r": 8, "lora_alpha": 8}}
    assert raw["tuning"]["input"] == {"urls": ["https://example.com/train.parquet"]}
    assert raw["tuning"]["output"] == {"image": IMAGE, "imagePushSecret": "registry"}
    assert "inference" not in raw


@pytest.mark.parametrize("method", ["lora", "qlora"])
def test_kaitos_template_may_be_named_and_means_its_defaults(method: str) -> None:
    raw = the_workspace(tuning(method=method, config=f"{method}-params-template"))
    assert raw["tuning"]["config"] == {"LoraConfig": {"r": 8, "lora_alpha": 8}}


def test_the_sections_of_a_training_config_are_kept() -> None:
    content = """\
        QuantizationConfig: {load_in_8bit: true}
        LoraConfig: {r: 16, target_modules: [q_proj]}
        TrainingArguments: {output_dir: /mnt/results, per_device_train_batch_size: 2}
        DatasetConfig:
    """
    assert the_workspace(tuning_with_config(content))["tuning"]["config"] == {
        "QuantizationConfig": {"load_in_8bit": True},
        "LoraConfig": {"r": 16, "lora_alpha": 8, "target_modules": ["q_proj"]},
        "TrainingArguments": {"output_dir": "/mnt/results", "per_device_train_batch_size": 2},
    }


@pytest.mark.parametrize("folder", ["/mnt/results", "results", "/mnt/a/../b"])
def test_an_output_below_mnt_is_accepted(folder: str) -> None:
    the_workspace(tuning_with_config(f"TrainingArguments: {{output_dir: '{folder}'}}", "lora"))


@pytest.mark.parametrize(
    "url",
    ["https://example.com/a", "HTTP://example.com:8080/a?sig=x", "http://8.8.8.8/a", "https://[2606:4700::1111]/a"],
)
def test_data_of_a_public_host_is_accepted(url: str) -> None:
    assert the_workspace(tuning(input=f"{{urls: ['{url}']}}"))["tuning"]["input"]["urls"] == [url]


def test_a_refused_url_is_shown_without_its_key_and_password() -> None:
    (problem,) = read(tuning(input="{urls: ['http://me:hush@10.0.0.1/a?sig=hush']}")).problems
    assert "hush" not in str(problem)


@pytest.mark.parametrize(
    "image",
    ["ubuntu", "library/ubuntu:24.04", "x.io:5000/a/b__c.d-e:V1_2", "localhost/a", f"x.io/a@sha256:{'0' * 64}"],
)
def test_an_image_of_dockers_grammar_is_accepted(image: str) -> None:
    the_workspace(tuning(input=f"{{image: '{image}'}}"))
