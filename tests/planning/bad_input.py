"""What a person may write wrongly, with the place and the words of the error that says so."""

from __future__ import annotations

from dataclasses import dataclass

from components.planning.local_sizing import Machine
from presets.memory import GIB
from tests.planning.builders import LAPTOP, ONE_GPU, chat

WORKSPACE = "modelyard:workspaces[0]"
CONFIG = f"{WORKSPACE}.inference.config"
PRESET = f"{WORKSPACE}.inference.preset"
KEYS = "modelyard:apiKeys"
GOOD_KEY = "9f86d081884c7d659a2feaa0c55ad015"
TINY_MACHINE = Machine(cpus=1, memory_bytes=2 * GIB)
ADAPTER = f"{WORKSPACE}.inference.adapters[0].source"

TUNING = (
    "{preset: {name: phi-3-mini-4k-instruct}, method: lora, input: {urls: ['https://example.com/data.csv']}, "
    "output: {image: 'registry.io/tuned:1', imagePushSecret: push}}"
)
LONG_NAME = "a" * 48
PHI = "{name: phi, inference: {preset: {name: phi-3-mini-4k-instruct}, config: {maxSequences: 16}}}"
TWO_OF_ONE_NAME = """
workspaces:
  - {name: chat, inference: {preset: {name: smollm2-135m-instruct}}}
  - {name: chat, inference: {preset: {name: smollm2-360m-instruct}}}
"""


def adapted(source: str) -> str:
    """A stack with one adapter."""
    adapter = f"adapters: [{{source: {source}}}]"
    return f"workspaces: [{{name: c, inference: {{preset: {{name: smollm2-135m-instruct}}, {adapter}}}}}]"


@dataclass(frozen=True)
class Case:
    what: str
    config: str
    path: str
    words: tuple[str, ...]
    machine: Machine = LAPTOP

    def __str__(self) -> str:
        return self.what.replace(" ", "-")


CASES = [
    # the stack's keys
    Case("target with a typo", "target: kubernets", "modelyard:target", ('"kubernets"', "write kubernetes")),
    Case("target that is no text", "target: [local]", "modelyard:target", ("a list of 1", "local, kubernetes, aks")),
    Case("key with a typo", "workspace: []", "modelyard:workspace", ("did you mean modelyard:workspaces?",)),
    Case("key of nobody", "zone: x", "modelyard:zone", ("modelyard:target, modelyard:workspaces", "remove it")),
    Case("workspaces that are a map", "workspaces: {name: chat}", "modelyard:workspaces", ("a map with name", '"- "')),
    Case("workspaces that are text", "workspaces: chat", "modelyard:workspaces", ('"chat"', "a list of workspaces")),
    Case("workspace that is text", "workspaces: [chat]", WORKSPACE, ('"chat"', "a map with name, resource, inference")),
    Case("empty item", "workspaces: [null]", WORKSPACE, ("nothing", "fill it in, or remove it")),
    # API keys
    Case("key that is text", f"apiKeys: {GOOD_KEY}", KEYS, ("text", "a list of keys")),
    Case("keys in a map", f"apiKeys: {{alice: {GOOD_KEY}}}", KEYS, ("a map", '"- "')),
    Case("key without a name", f"apiKeys: [{GOOD_KEY}]", f"{KEYS}[0]", ("text", "name: team-a")),
    Case(
        "name of a key alone", "apiKeys: [{name: a}]", f"{KEYS}[0]", ("neither key nor sha256", "openssl", "--secret")
    ),
    Case(
        "key and hash",
        f"apiKeys: [{{name: a, key: {GOOD_KEY}, sha256: {'a' * 64}}}]",
        f"{KEYS}[0]",
        ("both", "remove one"),
    ),
    Case("short key", "apiKeys: [{name: a, key: hunter2}]", f"{KEYS}[0].key", ("7 characters", "16", "openssl rand")),
    Case(
        "key with a space", "apiKeys: [{name: a, key: a long secret of words}]", f"{KEYS}[0].key", ("without spaces",)
    ),
    Case(
        "key that is a number", "apiKeys: [{name: a, key: 1234567890123456}]", f"{KEYS}[0].key", ("a number", "quotes")
    ),
    Case(
        "hash that is a key", f"apiKeys: [{{name: a, sha256: {GOOD_KEY}}}]", f"{KEYS}[0].sha256", ("32 ", "sha256sum")
    ),
    Case("key of no name", f"apiKeys: [{{name: '', key: {GOOD_KEY}}}]", f"{KEYS}[0].name", ("team-a",)),
    Case(
        "no requests",
        f"apiKeys: [{{name: a, key: {GOOD_KEY}, requestsPerMinute: 0}}]",
        f"{KEYS}[0].requestsPerMinute",
        ("at least 1",),
    ),
    Case(
        "key for no workspace",
        f"{chat()}\napiKeys: [{{name: a, key: {GOOD_KEY}, models: [chat, chta:polite]}}]",
        f"{KEYS}[0].models[1]",
        ('"chta:polite"', "write chat:polite"),
    ),
    Case(
        "two keys of one name",
        f"apiKeys: [{{name: a, key: {GOOD_KEY}}}, {{name: a, sha256: {'a' * 64}}}]",
        f"{KEYS}[1].name",
        ("the name of apiKeys[0]",),
    ),
    Case(
        "one key twice",
        f"apiKeys: [{{name: a, key: {GOOD_KEY}}}, {{name: b, key: {GOOD_KEY}}}]",
        f"{KEYS}[1]",
        ("the same key as apiKeys[0]",),
    ),
    # names
    Case(
        "no name",
        "workspaces: [{inference: {preset: {name: smollm2-135m-instruct}}}]",
        f"{WORKSPACE}.name",
        ("required",),
    ),
    Case("name in capitals", chat().replace("chat", "Chat_1"), f"{WORKSPACE}.name", ('"Chat_1"', "call it chat-1")),
    Case(
        "name that begins with a digit", chat().replace("chat", "7b"), f"{WORKSPACE}.name", ("a letter first", "m-7b")
    ),
    Case("name with a dash at its end", chat().replace("chat", "chat-"), f"{WORKSPACE}.name", ("call it chat",)),
    Case("empty name", chat().replace("chat", '""'), f"{WORKSPACE}.name", ("choose a name such as chat",)),
    Case("name that is too long", chat().replace("chat", LONG_NAME), f"{WORKSPACE}.name", ("48 characters", "KubeRay")),
    Case("name that is a number", chat().replace("chat", "123"), f"{WORKSPACE}.name", ("a number", 'name: "123"')),
    Case(
        "name that YAML reads as a boolean",
        chat().replace("chat", "yes"),
        f"{WORKSPACE}.name",
        ("boolean", "in quotes"),
    ),
    Case(
        "two workspaces of one name",
        TWO_OF_ONE_NAME,
        "modelyard:workspaces[1].name",
        ("name of workspaces[0]", "chat-2"),
    ),
    # what a workspace is
    Case("unknown field", chat("replica: 2"), f"{WORKSPACE}.replica", ("unknown field", "did you mean replicas?")),
    Case(
        "field without a likeness",
        chat("colour: red"),
        f"{WORKSPACE}.colour",
        ("name, resource, inference", "remove it"),
    ),
    Case(
        "snake case", chat("ready_timeout_seconds: 9"), f"{WORKSPACE}.ready_timeout_seconds", ("readyTimeoutSeconds?",)
    ),
    Case("neither inference nor tuning", "workspaces: [{name: chat}]", WORKSPACE, ("neither", "add inference")),
    Case(
        "both inference and tuning",
        "target: aks\n" + chat(f"tuning: {TUNING}"),
        WORKSPACE,
        ("both inference and tuning",),
    ),
    Case(
        "data on a volume of a cluster",
        "workspaces: [{name: t, tuning: {preset: {name: smollm2-135m-instruct}, method: lora, "
        "input: {volumeSource: {persistentVolumeClaim: {claimName: data}}}}}]",
        f"{WORKSPACE}.tuning.input.volumeSource",
        ("hostPath", "dataset: file:PATH"),
    ),
    Case(
        "an adapter of a workspace that is not there",
        "workspaces: [{name: c, inference: {preset: {name: smollm2-135m-instruct}, "
        "adapters: [{source: {name: a, tuning: learn}}]}}]",
        f"{WORKSPACE}.inference.adapters[0].source.tuning",
        ("no workspace of this stack", "add such a workspace"),
    ),
    Case(
        "an adapter for another model",
        f"workspaces: [{{name: c, inference: {{preset: {{name: smollm2-135m-instruct}}, "
        f"adapters: [{{source: {{name: a, tuning: t}}}}]}}}}, {{name: t, tuning: {TUNING}}}]",
        f"{WORKSPACE}.inference.adapters[0].source.tuning",
        ("tunes phi-3-mini-4k-instruct", "fits no other model"),
    ),
    Case(
        "a version of an adapter that nobody makes",
        "workspaces: [{name: c, inference: {preset: {name: smollm2-135m-instruct}, "
        "adapters: [{source: {name: a, uri: 'hf:org/a', version: 0123456789ab}}]}}]",
        f"{WORKSPACE}.inference.adapters[0].source.version",
        ("remove it",),
    ),
    Case(
        "a dataset of no known kind",
        "workspaces: [{name: t, tuning: {preset: {name: smollm2-135m-instruct}, method: lora, "
        "input: {dataset: 's3://bucket/data'}}}]",
        f"{WORKSPACE}.tuning.input.dataset",
        ("hf:ORG/NAME", "urls"),
    ),
    Case(
        "inference without a value",
        "workspaces: [{name: c, inference: }]",
        f"{WORKSPACE}.inference",
        ("nothing", "fill it in"),
    ),
    Case(
        "inference as a list",
        "workspaces: [{name: c, inference: [preset]}]",
        f"{WORKSPACE}.inference",
        ('without "- "',),
    ),
    Case(
        "no replicas",
        chat("replicas: 0"),
        f"{WORKSPACE}.replicas",
        ("0 (a number)", "at least 1", "remove its workspace"),
    ),
    Case("negative replicas", chat("replicas: -1"), f"{WORKSPACE}.replicas", ("-1", "at least 1")),
    Case(
        "replicas in quotes", chat('replicas: "2"'), f"{WORKSPACE}.replicas", ('"2"', "remove the quotes: replicas: 2")
    ),
    Case("half a replica", chat("replicas: 1.5"), f"{WORKSPACE}.replicas", ("1.5", "a whole number")),
    Case("replicas that are a boolean", chat("replicas: true"), f"{WORKSPACE}.replicas", ("true (a boolean)",)),
    Case("engine that is not here", chat("engine: vllm"), f"{WORKSPACE}.engine", ("vLLM needs other versions",)),
    Case("engine with a typo", chat("engine: transformer"), f"{WORKSPACE}.engine", ("write transformers",)),
    Case("no time to get ready", chat("readyTimeoutSeconds: 0"), f"{WORKSPACE}.readyTimeoutSeconds", ("at least 1",)),
    # resource
    Case("no nodes", chat("resource: {count: 0}"), f"{WORKSPACE}.resource.count", ("0", "at least 1")),
    Case("resource as text", chat("resource: Standard_NC6s_v3"), f"{WORKSPACE}.resource", ("instanceType, count",)),
    Case(
        "one node without a list",
        chat("resource: {preferredNodes: n1}"),
        f"{WORKSPACE}.resource.preferredNodes",
        ("[n1]",),
    ),
    Case(
        "label that is a number",
        chat("resource: {labelSelector: {matchLabels: {kubernetes.io/gpus: 1}}}"),
        f'{WORKSPACE}.resource.labelSelector.matchLabels["kubernetes.io/gpus"]',
        ("1 (a number)", 'kubernetes.io/gpus: "1"'),
    ),
    # the preset
    Case("preset with a typo", chat(preset="name: smolm2-135m"), f"{PRESET}.name", ("write smollm2-135m-instruct",)),
    Case("preset of nobody", chat(preset="name: qqqq"), f"{PRESET}.name", ("one of deepseek-r1-0528", "choose one")),
    Case(
        "model that has no preset",
        chat(preset="name: me/my-smollm2"),
        f"{PRESET}.name",
        ("not in the catalogue", "python -m presets.add me/my-smollm2"),
    ),
    Case("preset without a name", chat(preset=""), f"{PRESET}.name", ("required",)),
    Case(
        "preset as text", "workspaces: [{name: c, inference: {preset: phi}}]", PRESET, ('"phi"', "name, presetOptions")
    ),
    Case(
        "no preset",
        "workspaces: [{name: c, inference: {}}]",
        f"{WORKSPACE}.inference",
        ("neither preset nor template",),
    ),
    Case(
        "preset and template",
        "target: aks\nworkspaces: [{name: c, inference: {preset: {name: phi-4}, template: {spec: {}}}}]",
        f"{WORKSPACE}.inference",
        ("both preset and template", "remove template"),
    ),
    Case(
        "template",
        "workspaces: [{name: c, inference: {template: {}}}]",
        f"{WORKSPACE}.inference.template",
        ("needs a cluster", "target: kubernetes"),
    ),
    Case(
        "an adapter on a volume of a cluster",
        adapted("{name: pirate, volumeSource: {persistentVolumeClaim: {claimName: pirate}}}"),
        f"{ADAPTER}.volumeSource",
        ("persistentVolumeClaim", "mounts no volumes", "uri: file:/DIRECTORY"),
    ),
    Case(
        "an adapter in a relative directory of the host",
        adapted("{name: pirate, volumeSource: {hostPath: {path: adapters/pirate}}}"),
        f"{ADAPTER}.volumeSource",
        ("hostPath", "absolute path"),
    ),
    Case(
        "an adapter from nowhere",
        adapted("{name: pirate}"),
        ADAPTER,
        ("neither image nor volumeSource nor uri",),
    ),
    Case(
        "an adapter from two places",
        adapted("{name: pirate, image: 'registry.io/pirate:1', uri: 'hf:org/pirate'}"),
        ADAPTER,
        ("image and uri", "keep image"),
    ),
    Case(
        "an adapter by the name of a repository",
        adapted("{name: pirate, uri: org/pirate}"),
        f"{ADAPTER}.uri",
        ("begins with oci:, hf: or file:", "write hf:org/pirate"),
    ),
    Case(
        "an adapter in a relative directory",
        adapted("{name: pirate, uri: 'file:pirate'}"),
        f"{ADAPTER}.uri",
        ("absolute directory",),
    ),
    Case(
        "weights without a kind",
        chat(preset="name: smollm2-135m-instruct, presetOptions: {weights: me/my-model}"),
        f"{PRESET}.presetOptions.weights",
        ("begins with hf:, file:, oci: or pypi:", "write hf:me/my-model"),
    ),
    Case(
        "weights in a relative directory",
        chat(preset="name: smollm2-135m-instruct, presetOptions: {weights: ./model}"),
        f"{PRESET}.presetOptions.weights",
        ("absolute path",),
    ),
    Case(
        "weights as a path",
        chat(preset="name: smollm2-135m-instruct, presetOptions: {weights: /models/mine}"),
        f"{PRESET}.presetOptions.weights",
        ("write file:/models/mine",),
    ),
    # inference.config
    Case(
        "name of a ConfigMap",
        chat().replace("}}}]", "}, config: my-map}}]"),
        CONFIG,
        ("ConfigMap", "write the settings here"),
    ),
    Case("no context", chat(config="maxContext: 0"), f"{CONFIG}.maxContext", ("at least 1",)),
    Case(
        "context over the limit",
        chat(config="maxContext: 9000"),
        f"{CONFIG}.maxContext",
        ("9000 tokens", "at most 8192"),
    ),
    Case(
        "context where longrope begins",
        chat(preset="name: phi-3-mini-128k-instruct", config="maxContext: 8192"),
        f"{CONFIG}.maxContext",
        ("8192 tokens", "at most 4096", "longrope"),
    ),
    Case(
        "too many sequences", chat(config="maxSequences: 5000"), f"{CONFIG}.maxSequences", ("at least 1, at most 1024",)
    ),
    Case("dtype of other people", chat(config="dtype: bf16"), f"{CONFIG}.dtype", ("bfloat16, float16, float32",)),
    Case("no time", chat(config="requestTimeoutSeconds: 0"), f"{CONFIG}.requestTimeoutSeconds", ("at least 1",)),
    Case("no waiting", chat(config="maxWaitingRequests: 0"), f"{CONFIG}.maxWaitingRequests", ("at least 1",)),
    Case(
        "hot", chat(config="sampling: {temperature: 3}"), f"{CONFIG}.sampling.temperature", ("at least 0, at most 2",)
    ),
    Case("no mass", chat(config="sampling: {top_p: 0}"), f"{CONFIG}.sampling.top_p", ("above 0, at most 1",)),
    Case(
        "camel case of OpenAI", chat(config="sampling: {topP: 1}"), f"{CONFIG}.sampling.topP", ("did you mean top_p?",)
    ),
    Case(
        "text for a number",
        chat(config="sampling: {temperature: hot}"),
        f"{CONFIG}.sampling.temperature",
        ("a number",),
    ),
    # ray
    Case(
        "port of the system",
        "ray: {servePort: 80}",
        "modelyard:ray.servePort",
        ("at least 1024, at most 65535", "free port"),
    ),
    Case("port that is none", "ray: {dashboardPort: 70000}", "modelyard:ray.dashboardPort", ("70000",)),
    Case("one port for two", "ray: {servePort: 8000, dashboardPort: 8000}", "modelyard:ray", ("both 8000",)),
    Case("ray as text", "ray: auto", "modelyard:ray", ("a map with servePort, dashboardPort, numCpus",)),
    Case("no CPUs", "ray: {numCpus: 0}", "modelyard:ray.numCpus", ("at least 1",)),
    # the machine
    Case("too little memory", chat(config="maxSequences: 32"), WORKSPACE, ("3.2 GiB", "at most 0.5 GiB"), TINY_MACHINE),
    Case("sequences that do not fit", f"workspaces: [{PHI}]", WORKSPACE, ("20.6 GiB", "maxSequences to 7 or less")),
    Case(
        "context that does not fit",
        f"workspaces: [{PHI}]".replace("maxSequences: 16", "maxSequences: 1, maxContext: 4096"),
        WORKSPACE,
        ("maxContext to less than 4096",),
        Machine(cpus=1, memory_bytes=11 * GIB),
    ),
    Case(
        "too many replicas for the GPUs",
        chat("replicas: 2"),
        "modelyard:workspaces",
        ("2 replicas", "1: as many"),
        ONE_GPU,
    ),
    Case(
        "GPU that is too small",
        f"workspaces: [{PHI}]".replace("16", "64"),
        WORKSPACE,
        ("24.0 GiB of GPU memory",),
        ONE_GPU,
    ),
]
