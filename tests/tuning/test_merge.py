"""A model and an adapter, made one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
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


def test_what_cannot_be_merged_is_told(
    smollm2_dir: Path, adapter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--weights", f"file:{smollm2_dir}", "--output", str(tmp_path / "merged"), "--adapter"]
    assert main([*arguments, str(tmp_path)]) == 1
    assert "AdapterUnreadable" in capsys.readouterr().err
    wrong = tmp_path / "wrong"
    wrong.mkdir()
    config = json.loads((adapter / "adapter_config.json").read_text()) | {"r": 8}
    (wrong / "adapter_config.json").write_text(json.dumps(config))
    (wrong / "adapter_model.safetensors").write_bytes((adapter / "adapter_model.safetensors").read_bytes())
    assert main([*arguments, str(wrong)]) == 1
    assert "AdapterUnfit" in capsys.readouterr().err
    assert not (tmp_path / "merged").exists()
