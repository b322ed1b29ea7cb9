"""What KAITO refuses in inference, adapters, tuning and their ConfigMaps: input, verdict, and words."""

from __future__ import annotations

import pytest

from tests.planning.kaito.mistakes import SELECTOR, SIZE, Case, check
from tests.planning.kaito.reading import (
    IMAGE,
    config_map,
    tuning,
    tuning_with_config,
    with_config,
    workspace,
)

ADAPTER = "Workspace phi.inference.adapters[0].source"
CONFIG = "Workspace phi.inference.config (settings, inference_config.yaml)"
TRAINING = "Workspace tune.tuning.config (settings, training_config.yaml)"
NO_LOCAL = ("no localhost", "volumeSource")


def adapters(*sources: str) -> str:
    items = ", ".join(f"{{source: {source}}}" for source in sources)
    return workspace(inference=f"{{preset: {{name: phi-3-mini-4k-instruct}}, adapters: [{items}]}}")


def strength(value: str) -> str:
    adapter = f"{{source: {{name: a, image: '{IMAGE}'}}, strength: {value}}}"
    return workspace(inference=f"{{preset: {{name: phi-3-mini-4k-instruct}}, adapters: [{adapter}]}}")


def data_url(url: str) -> str:
    return tuning(input=f"{{urls: ['{url}']}}")


CASES = [
    # inference
    Case(
        "neither preset nor template",
        workspace(inference="{config: ''}"),
        "Workspace phi.inference",
        ("neither preset nor template",),
    ),
    Case(
        "both preset and template",
        workspace(inference="{preset: {name: phi-3-mini-4k-instruct}, template: {spec: {}}}"),
        "Workspace phi.inference",
        ("both preset and template", "exactly one"),
    ),
    Case(
        "private weights without an image in v1alpha1",
        workspace(version="v1alpha1", inference="{preset: {name: phi-3-mini-4k-instruct, accessMode: private}}"),
        "Workspace phi.inference.preset.accessMode",
        ("without presetOptions.image",),
    ),
    Case(
        "an unknown access mode",
        workspace(inference="{preset: {name: phi-3-mini-4k-instruct, accessMode: open}}"),
        "Workspace phi.inference.preset.accessMode",
        ("public, private",),
    ),
    Case(
        "a gated preset without a token",
        workspace(inference="{preset: {name: llama-3.1-8b-instruct}}"),
        "Workspace phi.inference.preset.presetOptions.modelAccessSecret",
        ("meta-llama/Llama-3.1-8B-Instruct is gated", "HF_TOKEN", "modelAccessSecret: hf-token"),
    ),
    Case(
        "a token in v1alpha1",
        workspace(
            version="v1alpha1",
            inference="{preset: {name: llama-3.1-8b-instruct, presetOptions: {modelAccessSecret: hf-token}}}",
        ),
        "Workspace phi.inference.preset.presetOptions.modelAccessSecret",
        ("unknown field modelAccessSecret", "kaito.sh/v1beta1"),
    ),
    Case(
        "a ConfigMap that is not there",
        workspace(inference="{preset: {name: phi-3-mini-4k-instruct}, config: settings}"),
        "Workspace phi.inference.config",
        ('"settings"', "in none of the files", "add its file to modelyard:manifests"),
    ),
    Case(
        "a ConfigMap of another namespace",
        config_map("{}", metadata="namespace: a")
        + "---\n"
        + workspace(inference="{preset: {name: phi-3-mini-4k-instruct}, config: settings}", metadata="namespace: b"),
        "Workspace phi.inference.config",
        ("in namespace a", "the namespace of the Workspace, b"),
    ),
    Case(
        "a ConfigMap without the key",
        with_config("{}").replace("inference_config.yaml", "inference-config.yaml"),
        "ConfigMap settings.data",
        ("inference-config.yaml", "rename inference-config.yaml to inference_config.yaml"),
    ),
    Case(
        "a ConfigMap with a map instead of text",
        with_config("X").replace("inference_config.yaml: X", "inference_config.yaml: {vllm: {}}"),
        'ConfigMap settings.data["inference_config.yaml"]',
        ("text that holds YAML", "inference_config.yaml: |"),
    ),
    Case(
        "a config that is no YAML",
        with_config("a: [1"),
        'ConfigMap settings.data["inference_config.yaml"]',
        ("line 1 of it",),
    ),
    Case(
        "a config that is a list",
        with_config("- vllm"),
        'ConfigMap settings.data["inference_config.yaml"]',
        ("a list of 1",),
    ),
    Case("vllm that is a list", with_config("vllm: [a]"), f"{CONFIG}.vllm", ("a map of vLLM's arguments",)),
    Case(
        "a context that is no number",
        with_config("vllm: {max-model-len: 4k}"),
        f"{CONFIG}.vllm.max-model-len",
        ('"4k"', "a whole number"),
    ),
    Case(
        "half a token",
        with_config("vllm: {max-model-len: 4096.5}"),
        f"{CONFIG}.vllm.max-model-len",
        ("a whole number",),
    ),
    Case("no token", with_config("vllm: {max-model-len: 0}"), f"{CONFIG}.vllm.max-model-len", ("at least 1",)),
    Case(
        "an argument that is a list",
        with_config("vllm: {limit-mm-per-prompt: [a]}"),
        f"{CONFIG}.vllm.limit-mm-per-prompt",
        ("text, a number or a boolean",),
    ),
    Case(
        "a quantization that the weights have not",
        with_config("vllm: {quantization: awq}"),
        f"{CONFIG}.vllm.quantization",
        ('"awq"', "bitsandbytes", "published in 16 bits", "choose a preset that is published in awq"),
    ),
    Case(
        "another quantization than the published one",
        with_config("vllm: {quantization: bitsandbytes}", inference="preset: {name: gpt-oss-20b}"),
        f"{CONFIG}.vllm.quantization",
        ('"bitsandbytes"', "published in mxfp4"),
    ),
    Case("an unknown dtype", with_config("vllm: {dtype: int4}"), f"{CONFIG}.vllm.dtype", ("auto, bfloat16",)),
    # adapters
    Case(
        "a misspelt field of an adapter",
        adapters(f"{{name: a, imagePullSecret: x, image: '{IMAGE}'}}"),
        f"{ADAPTER}.imagePullSecret",
        ("did you mean imagePullSecrets?",),
    ),
    Case(
        "an adapter without a source",
        workspace(inference="{preset: {name: phi-3-mini-4k-instruct}, adapters: [{}]}"),
        ADAPTER,
        ("required",),
    ),
    Case(
        "an adapter without a name", adapters(f"{{image: '{IMAGE}'}}"), f"{ADAPTER}.name", ("a name for each adapter",)
    ),
    Case(
        "an adapter's name in capitals",
        adapters(f"{{name: My_Adapter, image: '{IMAGE}'}}"),
        f"{ADAPTER}.name",
        ("DNS-1123 subdomain", "call it my-adapter"),
    ),
    Case(
        "an adapter called like its workspace",
        adapters(f"{{name: phi, image: '{IMAGE}'}}"),
        f"{ADAPTER}.name",
        ("call it phi-adapter",),
    ),
    Case(
        "two adapters of one name",
        adapters(f"{{name: a, image: '{IMAGE}'}}", f"{{name: a, image: '{IMAGE}'}}"),
        "Workspace phi.inference.adapters[1].source.name",
        ("also the name of adapters[0]", "a-2"),
    ),
    Case("an adapter from nowhere", adapters("{name: a}"), ADAPTER, ("neither image nor volumeSource",)),
    Case(
        "an adapter from two places",
        adapters(f"{{name: a, image: '{IMAGE}', volumeSource: {{emptyDir: {{}}}}}}"),
        ADAPTER,
        ("image and volumeSource", "exactly one"),
    ),
    Case(
        "an adapter from a URL",
        adapters("{name: a, urls: ['https://example.com/a']}"),
        f"{ADAPTER}.urls",
        ("URLs are not supported as adapter source",),
    ),
    Case(
        "an image in capitals",
        adapters("{name: a, image: 'x.azurecr.io/Adapter:1'}"),
        f"{ADAPTER}.image",
        ("lower case", "write x.azurecr.io/adapter:1"),
    ),
    Case(
        "an image with a scheme",
        adapters("{name: a, image: 'https://x.io/a:1'}"),
        f"{ADAPTER}.image",
        ("write x.io/a:1",),
    ),
    Case("an image with a space", adapters("{name: a, image: 'x.io/a b:1'}"), f"{ADAPTER}.image", ("docker pull",)),
    Case(
        "an image's placeholder",
        adapters("{name: a, image: 'ACR_REPO_HERE.azurecr.io/ADAPTER_HERE:0.0.1'}"),
        f"{ADAPTER}.image",
        ("this is a placeholder",),
    ),
    Case(
        "a strength above 1",
        strength("'1.5'"),
        "Workspace phi.inference.adapters[0].strength",
        ('"1.5"', "from 0 to 1"),
    ),
    Case("a strength below 0", strength("'-0.1'"), "Workspace phi.inference.adapters[0].strength", ("from 0 to 1",)),
    Case("a strength in words", strength("strong"), "Workspace phi.inference.adapters[0].strength", ("from 0 to 1",)),
    Case(
        "a strength without quotes",
        strength("0.5"),
        "Workspace phi.inference.adapters[0].strength",
        ('strength: "0.5"', "quotes"),
    ),
    # tuning
    Case("no preset to tune", tuning(preset=None), "Workspace tune.tuning.preset", ("required",)),
    Case("an unknown method", tuning(method="dora"), "Workspace tune.tuning.method", ("lora, qlora",)),
    Case("no method", tuning(method=None), "Workspace tune.tuning.method", ("required",)),
    Case("no input", tuning(input=None), "Workspace tune.tuning.input", ("required",)),
    Case("no output", tuning(output=None), "Workspace tune.tuning.output", ("required",)),
    Case(
        "an empty input",
        tuning(input="{}"),
        "Workspace tune.tuning.input",
        ("neither urls nor image nor volumeSource",),
    ),
    Case(
        "two inputs",
        tuning(input=f"{{urls: ['https://example.com/a'], image: '{IMAGE}'}}"),
        "Workspace tune.tuning.input",
        ("urls and image", "exactly one"),
    ),
    Case(
        "two outputs",
        tuning(output=f"{{image: '{IMAGE}', imagePushSecret: s, volumeSource: {{hostPath: {{path: /a}}}}}}"),
        "Workspace tune.tuning.output",
        ("image and volumeSource",),
    ),
    Case(
        "no output's place",
        tuning(output="{imagePushSecret: s}"),
        "Workspace tune.tuning.output",
        ("neither image nor volumeSource",),
    ),
    Case(
        "an image without credentials",
        tuning(output=f"{{image: '{IMAGE}'}}"),
        "Workspace tune.tuning.output.imagePushSecret",
        ("required with image",),
    ),
    Case(
        "volume, as in KAITO's pages",
        tuning(input="{volume: {emptyDir: {}}}"),
        "Workspace tune.tuning.input.volume",
        ("did you mean volumeSource?",),
    ),
    Case(
        "a path for a URL",
        data_url("data/train.parquet"),
        "Workspace tune.tuning.input.urls[0]",
        ("a complete http or https URL",),
    ),
    Case(
        "another scheme",
        data_url("s3://bucket/train.parquet"),
        "Workspace tune.tuning.input.urls[0]",
        ("http or https", "https URL of the object"),
    ),
    Case("localhost", data_url("http://localhost:8000/a"), "Workspace tune.tuning.input.urls[0]", NO_LOCAL),
    Case(
        "a name below localhost", data_url("http://data.localhost/a"), "Workspace tune.tuning.input.urls[0]", NO_LOCAL
    ),
    Case("loopback", data_url("http://127.0.0.1/a"), "Workspace tune.tuning.input.urls[0]", NO_LOCAL),
    Case("loopback in short", data_url("http://127.1/a"), "Workspace tune.tuning.input.urls[0]", NO_LOCAL),
    Case("loopback of IPv6", data_url("http://[::1]/a"), "Workspace tune.tuning.input.urls[0]", NO_LOCAL),
    Case(
        "loopback of IPv4 in IPv6",
        data_url("http://[::ffff:127.0.0.1]/a"),
        "Workspace tune.tuning.input.urls[0]",
        NO_LOCAL,
    ),
    Case("a private address", data_url("http://10.1.2.3/a"), "Workspace tune.tuning.input.urls[0]", NO_LOCAL),
    Case("another private address", data_url("https://192.168.0.9/a"), "Workspace tune.tuning.input.urls[0]", NO_LOCAL),
    Case("the cloud's metadata", data_url("http://169.254.169.254/a"), "Workspace tune.tuning.input.urls[0]", NO_LOCAL),
    Case(
        "the metadata's host",
        data_url("http://metadata.google.internal/a"),
        "Workspace tune.tuning.input.urls[0]",
        NO_LOCAL,
    ),
    Case(
        "tuning on two nodes",
        tuning(resource=f"{{{SIZE}, count: 2, {SELECTOR}}}"),
        "Workspace tune.resource.count",
        ("2 nodes", "does not run on several nodes"),
    ),
    Case(
        "tuning on a partition",
        tuning(resource=f"{{{SELECTOR}, partition: {{mode: accelerator, count: 1}}}}"),
        "Workspace tune.resource.partition",
        ("for inference only",),
        existing_nodes=True,
    ),
    Case(
        "the other method's template",
        tuning(method="lora", config="qlora-params-template"),
        "Workspace tune.tuning.config",
        ("with method lora", "lora-params-template"),
    ),
    Case(
        "a training config that is not there",
        tuning(config="mine"),
        "Workspace tune.tuning.config",
        ("in none of the files",),
    ),
    Case(
        "sections at the top",
        config_map("LoraConfig: {r: 8}", key="training_config.yaml") + "---\n" + tuning(config="settings"),
        TRAINING,
        ("LoraConfig at the top", "put training_config: above"),
    ),
    Case(
        "an unrecognized section",
        tuning_with_config("QuantizationConfig: {load_in_4bit: true}\nLoRAConfig: {r: 8}"),
        f"{TRAINING}.training_config.LoRAConfig",
        ("unrecognized section LoRAConfig", "did you mean LoraConfig?"),
    ),
    Case(
        "a section that is a list",
        tuning_with_config("LoraConfig: [r]", "lora"),
        f"{TRAINING}.training_config.LoraConfig",
        ("a map",),
    ),
    Case(
        "4 and 8 bits",
        tuning_with_config("QuantizationConfig: {load_in_4bit: true, load_in_8bit: true}"),
        f"{TRAINING}.training_config.QuantizationConfig",
        ("both load_in_4bit and load_in_8bit",),
    ),
    Case(
        "lora in 4 bits",
        tuning_with_config("QuantizationConfig: {load_in_4bit: true}", "lora"),
        f"{TRAINING}.training_config.QuantizationConfig.load_in_4bit",
        ("with method lora", "method: qlora"),
    ),
    Case(
        "qlora in 16 bits",
        tuning_with_config("QuantizationConfig: {load_in_4bit: false}"),
        f"{TRAINING}.training_config.QuantizationConfig",
        ("method qlora", "add load_in_4bit: true"),
    ),
    Case(
        "qlora without QuantizationConfig",
        tuning_with_config("LoraConfig: {r: 8}"),
        f"{TRAINING}.training_config",
        ("qlora without QuantizationConfig",),
    ),
    Case(
        "bits in quotes",
        tuning_with_config("QuantizationConfig: {load_in_4bit: 'true'}"),
        f"{TRAINING}.training_config.QuantizationConfig.load_in_4bit",
        ('"true"', "without quotes"),
    ),
    *(
        Case(
            f"output in {folder or 'nothing'}",
            tuning_with_config(f"TrainingArguments: {{output_dir: '{folder}'}}", "lora"),
            f"{TRAINING}.training_config.TrainingArguments.output_dir",
            ("below /mnt", "write /mnt/results"),
        )
        for folder in ("/tmp/results", "/mnt", "../results", "/mnt/../etc", "")
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_mistake_is_refused_once_where_it_stands_with_what_to_do(case: Case) -> None:
    check(case)


def test_no_case_stands_twice() -> None:
    assert len({(case.text, case.existing_nodes) for case in CASES}) == len(CASES)
