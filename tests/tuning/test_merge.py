"""A model and an adapter, made one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from tuning.merge import main

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def adapter(smollm2_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("adapter")
    base = AutoModelForCausalLM.from_pretrained(smollm2_dir, dtype=torch.float32)
    torch.manual_seed(1)
    config = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False, task_type="CAUSAL_LM")
    get_peft_model(base, config).save_pretrained(str(directory))
    return directory


def test_the_merged_model_answers_as_the_adapter_does(smollm2_dir: Path, adapter: Path, tmp_path: Path) -> None:
    output = tmp_path / "merged"
    arguments = ["--weights", f"file:{smollm2_dir}", "--adapter", str(adapter), "--output", str(output)]
    assert main([*arguments, "--dtype", "float32"]) == 0
    merged = AutoModelForCausalLM.from_pretrained(output)
    base = AutoModelForCausalLM.from_pretrained(smollm2_dir, dtype=torch.float32)
    adapted = PeftModel.from_pretrained(base, str(adapter))
    ids = torch.tensor([AutoTokenizer.from_pretrained(output)("The capital of France is")["input_ids"]])
    with torch.no_grad():
        assert torch.allclose(merged(input_ids=ids).logits, adapted(input_ids=ids).logits, atol=1e-3)
    assert main([*arguments]) == 1, "a model that is there is not written over"


def spoilt(adapter: Path, to: Path, how: str) -> Path:
    """A copy of an adapter that cannot be merged."""
    shutil.copytree(adapter, to)
    config, weights = to / "adapter_config.json", to / "adapter_model.safetensors"
    if how in ("no weights", "no config"):
        (weights if how == "no weights" else config).unlink()
    elif how == "cut off":
        weights.write_bytes(weights.read_bytes()[:1000])
    elif how == "another rank":
        config.write_text(json.dumps(json.loads(config.read_text()) | {"r": 8}))
    else:
        tensors = load_file(weights)
        layer = ".layers.29."
        more = {name.replace(layer, ".layers.30."): tensor.clone() for name, tensor in tensors.items() if layer in name}
        fewer = {name: tensor for name, tensor in tensors.items() if layer not in name}
        save_file(fewer if how == "a layer less" else tensors | more, weights)
    return to


@pytest.mark.parametrize(
    ("how", "reason", "words"),
    [
        ("no weights", "AdapterUnreadable", "has no adapter_model.safetensors"),
        ("no config", "AdapterUnreadable", "has no adapter_config.json"),
        ("cut off", "AdapterUnfit", "of rank 4"),
        ("another rank", "AdapterUnfit", "of rank 8"),
        # peft warns of it, and merges what there is
        pytest.param(
            *("a layer less", "AdapterUnfit", "layers.29.self_attn.q_proj"),
            marks=pytest.mark.filterwarnings("ignore:Found missing adapter keys"),
        ),
        ("a layer more", "AdapterUnfit", "layers.30.self_attn.q_proj"),
    ],
)
def test_what_cannot_be_merged_is_told(
    how: str,
    reason: str,
    words: str,
    smollm2_dir: Path,
    adapter: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    wrong = spoilt(adapter, tmp_path / "wrong", how)
    assert (
        main(["--weights", f"file:{smollm2_dir}", "--output", str(tmp_path / "merged"), "--adapter", str(wrong)]) == 1
    )
    told = capsys.readouterr().err
    assert told.startswith(f"{reason}: ")
    assert words in told
    assert [path.name for path in tmp_path.iterdir()] == ["wrong"], "something half made is left"


def test_an_output_that_is_a_file_is_refused(
    smollm2_dir: Path, adapter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "merged"
    output.write_text("notes")
    assert main(["--weights", f"file:{smollm2_dir}", "--adapter", str(adapter), "--output", str(output)]) == 1
    assert "is a file" in capsys.readouterr().err
    assert output.read_text() == "notes"


def test_a_source_that_is_none_is_told(adapter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--weights", "smollm2", "--adapter", str(adapter), "--output", str(tmp_path / "merged")]) == 1
    assert capsys.readouterr().err.startswith("BadSource: ")
