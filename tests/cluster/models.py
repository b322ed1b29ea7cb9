"""The directory that pods of a rig have at /models: a real model, and adapters made for it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from presets.catalog import find_preset
from tests.stack.yard import PROJECT, TINY

_PYTHON = PROJECT / ".venv-serving" / "bin" / "python"
_ADAPTER = """
import sys
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

model, directory, seed = sys.argv[1], sys.argv[2], int(sys.argv[3])
torch.manual_seed(seed)
base = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
config = LoraConfig(r=8, lora_alpha=32, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
adapted = get_peft_model(base, config)
for name, weight in adapted.named_parameters():
    if "lora_B" in name:
        torch.nn.init.normal_(weight, std=0.2)  # peft's own zeros would change nothing
adapted.save_pretrained(directory)
"""


def make_models(folder: Path) -> None:
    """SmolLM2 in folder/smollm2 and an adapter in folder/adapters/first, readable by any user."""
    source = find_preset(TINY).weights_source
    done = subprocess.run(
        [_PYTHON, "-m", "serving.weights", source, "--human"], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    checked = Path(done.stdout.splitlines()[-2])
    shutil.copytree(checked, folder / "smollm2", ignore=shutil.ignore_patterns("manifest.json"))
    adapter = folder / "adapters" / "first"
    subprocess.run([_PYTHON, "-c", _ADAPTER, checked, adapter, "1"], cwd=PROJECT, capture_output=True, check=True)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    # Pods keep here what they fetch, as a user that this machine may not have.
    (folder / "cache").mkdir()
    (folder / "cache").chmod(0o777)
