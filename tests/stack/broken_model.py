"""A model whose files are in order, and which no engine can load."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from presets.catalog import find_preset
from tests.stack.yard import PROJECT, TINY


def broken_model(folder: Path) -> Path:
    """SmolLM2 in a directory, its config asking for more layers than its weights have."""
    command = [str(PROJECT / ".venv-serving" / "bin" / "python"), "-m", "serving.weights"]
    done = subprocess.run(
        [*command, find_preset(TINY).weights_source], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    source = Path(json.loads(done.stdout.splitlines()[-1])["path"])
    folder.mkdir()
    for file in source.iterdir():
        (folder / file.name).symlink_to(file)
    config = json.loads((source / "config.json").read_text())
    (folder / "config.json").unlink()
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": config["num_hidden_layers"] + 2}))
    return folder
