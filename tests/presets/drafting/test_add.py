"""Models beyond the catalogue: from a directory or the hub to an entry, and to a workspace without one."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from huggingface_hub import constants

from components.model_facts import described, kept_in
from components.planning.errors import SpecError
from components.planning.spec import RawConfig, parse_spec
from presets.catalog import find_preset
from presets.drafting import command
from presets.drafting.draft import DraftError
from presets.drafting.entry_yaml import read
from presets.drafting.hub_files import from_hub, from_hub_cache
from presets.drafting.repository_files import FactsError, from_directory, from_snapshot
from tests.hub_server import COMMIT, HubServer, Repository
from tests.permissions import nobody
from tests.presets.builders import config_of, llama_tensors, published, safetensors
from tests.presets.drafting.tiny import TINY, tiny

NAMES_ORG_MODEL = [{"name": "chat", "inference": {"preset": {"name": "org/model"}}}]


def test_the_weights_of_a_directory_are_the_bytes_of_its_files(tmp_path: Path) -> None:
    directory = published(tmp_path / "SmolLM2", "SmolLM2-135M-Instruct")
    facts = from_directory(directory)
    assert facts.parameters == find_preset("smollm2-135m-instruct").parameters
    assert facts.weights_bytes == (directory / "model.safetensors").stat().st_size
    preset = facts.draft().preset
    assert preset.weights_source == f"file:{directory}"
    assert preset.repository.name == "local/SmolLM2"


def test_copies_in_other_layouts_are_not_counted(tmp_path: Path) -> None:
    directory = tiny(tmp_path / "copies")
    size = (directory / "model.safetensors").stat().st_size
    for copy in ("original/model.safetensors", "metal/model.safetensors", "consolidated.safetensors"):
        (directory / copy).parent.mkdir(exist_ok=True)
        safetensors(directory / copy, llama_tensors(config_of("SmolLM2-135M-Instruct")))
    assert from_directory(directory).weights_bytes == size


def test_only_the_files_that_the_index_names_are_counted(tmp_path: Path) -> None:
    directory = tiny(tmp_path / "sharded")
    (directory / "model.safetensors").rename(directory / "model-00001-of-00001.safetensors")
    safetensors(directory / "model.safetensors", {"left.over": ("BF16", (1000, 1000))})
    index = {"metadata": {"total_size": 5000}, "weight_map": {"a": "model-00001-of-00001.safetensors"}}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index))
    facts = from_directory(directory)
    assert facts.weights_bytes == (directory / "model-00001-of-00001.safetensors").stat().st_size
    (directory / "model-00001-of-00001.safetensors").unlink()
    assert from_snapshot(directory, "org/model").weights_bytes == 5000, "the hub has the rest, the index says how much"
    with pytest.raises(FactsError, match=r"lacks model-00001-of-00001\.safetensors of the weights .* download it"):
        from_directory(directory)


def test_a_path_that_no_directory_can_have_is_refused_in_words() -> None:
    for path in ("/" + "a" * 5000, "/" + "a/" * 3000, "/a\0b", "~nobody-here/model"):
        presets, failures = described([path], folder=Path("nowhere"))
        assert not presets
        assert failures[path], path


def test_a_repository_of_a_name_that_the_hub_cannot_have_is_refused_in_words(hub: HubServer, tmp_path: Path) -> None:
    name = "org/" + "a" * 400
    presets, failures = described([name], folder=tmp_path)
    assert not presets
    assert "check its spelling" in failures[name]


def test_facts_that_cannot_be_kept_are_a_failure_in_words(hub: HubServer, tmp_path: Path) -> None:
    hub.repositories["org/model"] = Repository(tiny(tmp_path / "model"))
    (tmp_path / "models").write_text("a file where a folder should be")
    _, failures = described(["org/model"], folder=tmp_path / "models")
    assert "cannot be kept in" in failures["org/model"]


def test_a_directory_that_this_user_may_not_read_is_refused_in_words(tmp_path: Path) -> None:
    directory = tiny(tmp_path / "secret")
    directory.chmod(0)
    with nobody(), pytest.raises(FactsError, match=r"cannot be read \(Permission denied\); let this user read it"):
        from_directory(directory)
    directory.chmod(0o700)


def test_the_root_of_the_machine_is_not_searched_for_weights() -> None:
    with pytest.raises(FactsError, match=r"/ has no config\.json"):
        from_directory(Path("/"))


def test_a_stored_output_layer_tells_that_embeddings_are_not_tied(tmp_path: Path) -> None:
    config = config_of("SmolLM2-135M-Instruct") | TINY | {"tie_word_embeddings": False}
    directory = tiny(tmp_path / "untied", tensors=llama_tensors(config))
    (directory / "config.json").write_text(json.dumps({k: v for k, v in config.items() if k != "tie_word_embeddings"}))
    assert not from_directory(directory).draft().preset.shape.tied_embeddings


def test_packed_weights_are_no_parameters(tmp_path: Path) -> None:
    quantization = {"quant_method": "gptq", "bits": 4}
    directory = tiny(tmp_path / "packed", tensors={"a": ("I32", (256, 4096))}, quantization_config=quantization)
    preset = from_directory(directory).draft().preset
    assert preset.parameters is None
    assert preset.weights_gib == pytest.approx(256 * 4096 * 4 / 2**30, rel=0.3)


def test_the_card_of_a_directory_gives_the_licence(tmp_path: Path) -> None:
    directory = tiny(tmp_path / "carded")
    (directory / "README.md").write_text("---\nlicense: other\nlicense_name: open-model-license\n---\n# A model\n")
    assert from_directory(directory).license == "open-model-license"


def test_modelopts_older_quantization_file_is_read(tmp_path: Path) -> None:
    directory = tiny(tmp_path / "modelopt", tensors={"a": ("U8", (64, 64))})
    (directory / "hf_quant_config.json").write_text(json.dumps({"quantization": {"quant_algo": "NVFP4"}}))
    quantization = from_directory(directory).draft().preset.quantization
    assert quantization is not None
    assert quantization.method == "nvfp4"


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"config.json": "{}", "pytorch_model.bin": ""}, "no config.json"),
        ({"config.json": '{"a": 1}', "pytorch_model.bin": ""}, "pickle"),
        ({"config.json": '{"a": 1}', "model.gguf": ""}, "GGUF"),
        ({"config.json": '{"a": 1}'}, "no *.safetensors"),
        ({"config.json": "[1]"}, "not a JSON object"),
        ({"config.json": '{"a": 1', "model.safetensors": ""}, "not JSON"),
        ({"config.json": '{"a": 1}', "model.safetensors": "short"}, "not a whole safetensors file"),
        ({"config.json": '{"a": 1}', "model.safetensors": "\x09\0\0\0\0\0\0\0" + '{"a": {}}'}, "damaged"),
        ({"config.json": '{"a": ' + "[" * 3000, "model.safetensors": ""}, "nested too deeply"),
        (
            {"config.json": '{"a": 1}', "model.safetensors.index.json": '{"weight_map": {"a": 1}}'},
            "names no files of the model",
        ),
        (
            {"config.json": '{"a": 1}', "model.safetensors.index.json": '{"weight_map": {"a": "../b"}}'},
            "names no files of the model",
        ),
        ({"config.json": '{"a": 1}', "model.safetensors": ""}, "not a whole safetensors file"),
        ({"model_index.json": "{}"}, "diffusion model"),
        ({"adapter_config.json": "{}", "adapter_model.safetensors": ""}, "LoRA adapter"),
        ({"README.md": ""}, "no config.json"),
    ],
)
def test_a_directory_without_a_usable_model_says_what_to_do(tmp_path: Path, files: dict[str, str], said: str) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(FactsError, match=said.replace("*", r"\*")) as refused:
        from_directory(tmp_path)
    assert ";" in str(refused.value), "it does not say what to do"


def test_a_repository_of_the_hub_is_described_without_fetching_its_weights(hub: HubServer, tmp_path: Path) -> None:
    about = {"cardData": {"license": "mit"}, "pipeline_tag": "text-generation"}
    root = tiny(tmp_path / "published")
    hub.repositories["org/model"] = Repository(root, about=about)
    facts = from_hub("org/model")
    local = from_directory(root)
    assert (facts.weights_bytes, facts.parameters) == (local.weights_bytes, local.parameters)
    preset = facts.draft().preset
    assert preset.weights_source == f"hf:org/model@{COMMIT}", "another commit may be served next year"
    assert (preset.repository.license, preset.repository.gated) == ("mit", False)
    assert not (tmp_path / "hub-cache").exists(), "half a snapshot was left where serving looks for whole ones"


def test_of_many_files_the_hub_counts_the_parameters(hub: HubServer, tmp_path: Path) -> None:
    root = tiny(tmp_path / "published")
    files = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    (root / "model.safetensors").rename(root / files[0])
    safetensors(root / files[1], {"lm_head.weight": ("BF16", (16, 12))})
    index = {"weight_map": {"model.norm.weight": files[0], "lm_head.weight": files[1]}}
    (root / "model.safetensors.index.json").write_text(json.dumps(index))
    counted: dict[str, object] = {"safetensors": {"parameters": {"BF16": 4321}, "total": 4321}}
    hub.repositories["org/model"] = Repository(root, about=counted)
    facts = from_hub("org/model")
    assert facts.weights_bytes == sum((root / file).stat().st_size for file in files)
    assert (facts.parameters, facts.output_layer) == (4321, True)
    assert not [request for request in hub.requests if request.endswith(".safetensors")]


def test_a_gated_repository_needs_a_token_and_says_so(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.repositories["org/gated"] = Repository(tiny(tmp_path / "gated"), token="right", gated=True)
    with pytest.raises(FactsError, match=r"org/gated is gated: accept its licence on http.* HF_TOKEN"):
        from_hub("org/gated")
    monkeypatch.setenv("HF_TOKEN", "right")
    assert from_hub("org/gated").gated


@pytest.mark.parametrize(
    ("name", "revision", "said"),
    [
        ("org/missing", "main", "org/missing is not on http://"),
        ("org/model", "v9", "org/model has no revision v9"),
        ("org/pickled", "main", "pickle"),
        ("org/empty", "main", "no config.json"),
    ],
)
def test_what_the_hub_lacks_is_said_in_one_sentence(
    hub: HubServer, tmp_path: Path, name: str, revision: str, said: str
) -> None:
    hub.repositories["org/model"] = Repository(tiny(tmp_path / "model"))
    pickled = tiny(tmp_path / "pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    hub.repositories["org/pickled"] = Repository(pickled)
    (tmp_path / "empty").mkdir()
    hub.repositories["org/empty"] = Repository(tmp_path / "empty")
    with pytest.raises(FactsError, match=said) as refused:
        from_hub(name, revision)
    assert "\n" not in str(refused.value)


def test_without_network_the_way_out_is_an_entry_or_a_directory(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(FactsError, match=r"not in reach.*python -m presets.add org/model .*or name a local directory"):
        from_hub("org/model")


def test_the_command_that_a_refusal_advises_writes_an_entry(
    hub: HubServer, tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.repositories["org/model"] = Repository(tiny(tmp_path / "model"))
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(FactsError) as without_network:
        from_hub("org/model")
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    with pytest.raises(SpecError) as not_in_catalogue:
        parse_spec(RawConfig(workspaces=NAMES_ORG_MODEL), stack_file="Pulumi.dev.yaml")
    for said in (str(without_network.value), str(not_in_catalogue.value)):
        advised = re.search(r"python -m presets\.add (.*?) where .*commit what it writes", said)
        assert advised, said
        assert command.main(advised[1].split()) == 0
        (written,) = models.iterdir()
        assert "model" in read(written.read_text())
        written.unlink()


def snapshot(tmp_path: Path, repository: str) -> Path:
    """A whole model in the hub's cache, as serving leaves it."""
    cached = tmp_path / "hub-cache" / f"models--{repository.replace('/', '--')}"
    tiny(cached / "snapshots" / COMMIT)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(COMMIT)
    return cached / "snapshots" / COMMIT


def test_what_the_hubs_cache_has_is_not_asked_for(hub: HubServer, tmp_path: Path) -> None:
    assert from_hub_cache("org/model") is None
    whole = snapshot(tmp_path, "org/model")
    presets, failures = described(["org/model"], folder=tmp_path / "kept")
    assert (presets["org/model"].weights_source, failures) == (f"hf:org/model@{COMMIT}", {})
    (whole / "model.safetensors").unlink()
    assert from_hub_cache("org/model") is None, "half a snapshot says nothing about the weights"
    assert not hub.requests


def test_a_second_preview_says_the_same_without_a_hub(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.repositories["org/model"] = Repository(tiny(tmp_path / "model"))
    said: list[str] = []
    first = described(["org/model"], folder=tmp_path / "kept", report=said.append)
    assert said == ["looking up org/model on the hub"]
    hub.repositories["org/model"] = Repository(tiny(tmp_path / "newer", num_hidden_layers=1), commit="b" * 40)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert described(["org/model"], folder=tmp_path / "kept", report=said.append) == first
    assert described(["hf:org/model"], folder=tmp_path / "kept")[0]["hf:org/model"] == first[0]["org/model"]
    assert len(said) == 1


def test_facts_kept_by_another_version_are_looked_up_again(hub: HubServer, tmp_path: Path) -> None:
    hub.repositories["org/model"] = Repository(tiny(tmp_path / "model"))
    file = kept_in(tmp_path, "org/model", "main")
    file.write_text("org/model: {field: of another version}\n")
    presets, _ = described(["org/model"], folder=tmp_path)
    assert read(file.read_text()) == presets


def test_a_workspace_may_name_a_directory(tmp_path: Path) -> None:
    directory = tiny(tmp_path / "mine")
    presets, failures = described([str(directory), f"file:{directory}", str(tmp_path / "gone")], folder=tmp_path)
    assert {preset.weights_source for preset in presets.values()} == {f"file:{directory}"}
    assert list(presets) == [str(directory), f"file:{directory}"]
    assert "is not a directory" in failures[str(tmp_path / "gone")]
    assert not list(tmp_path.glob("*.yaml")), "a directory may change: what it holds is not kept"


def test_names_of_the_catalogue_and_misspelt_ones_are_not_looked_up(hub: HubServer, tmp_path: Path) -> None:
    names = ["smollm2-135m-instruct", "HuggingFaceTB/smollm2-135m-instruct", "smolm2"]
    assert described(names, folder=tmp_path) == ({}, {})
    assert not hub.requests


def test_what_cannot_be_described_is_a_sentence_beside_those_that_can(hub: HubServer, tmp_path: Path) -> None:
    hub.repositories["org/model"] = Repository(tiny(tmp_path / "model"))
    hub.repositories["org/bert"] = Repository(tiny(tmp_path / "bert", architectures=["BertModel"]))
    presets, failures = described(["org/bert", "org/model", "a/b/c"], folder=tmp_path / "kept")
    assert list(presets) == ["org/model"]
    assert "BertModel generates no text" in failures["org/bert"]
    assert "neither ORG/MODEL of the hub nor a path" in failures["a/b/c"]
    assert [file.name for file in (tmp_path / "kept").iterdir()] == ["org--model@main.yaml"]


def test_no_decoder_is_no_fact_but_a_draft_that_fails(tmp_path: Path) -> None:
    directory = tiny(tmp_path / "embedding")
    (directory / "modules.json").write_text("[]")
    with pytest.raises(DraftError, match="made for sentence-similarity"):
        from_directory(directory).draft()
