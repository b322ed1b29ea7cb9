"""Directories with an adapter."""

from __future__ import annotations

from pathlib import Path

import pytest

from tuning.errors import TuningError
from tuning.publishing.version import copy_to_volume, keep


def version(directory: Path, weights: str) -> Path:
    keep({"adapter_config.json": "{}", "adapter_model.safetensors": weights, "README.md": "card"}, directory)
    return directory


def test_a_version_is_for_everybody_to_read(tmp_path: Path) -> None:
    made = version(tmp_path / "adapters" / "0123", "one")
    assert {path.name: path.stat().st_mode & 0o777 for path in made.iterdir()} == {
        "adapter_config.json": 0o644,
        "adapter_model.safetensors": 0o644,
        "README.md": 0o644,
    }
    assert [path.name for path in made.parent.iterdir()] == ["0123"], "nothing half made is left"


def test_a_volume_s_other_adapter_stays_unless_it_may_be_overwritten(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    copy_to_volume(version(tmp_path / "1", "one"), volume, overwrite=False)
    copy_to_volume(tmp_path / "1", volume, overwrite=False)
    with pytest.raises(TuningError, match=r"OutputExists: .*overwrite: true"):
        copy_to_volume(version(tmp_path / "2", "two"), volume, overwrite=False)
    assert (volume / "adapter_model.safetensors").read_text() == "one"
    copy_to_volume(tmp_path / "2", volume, overwrite=True)
    assert (volume / "adapter_model.safetensors").read_text() == "two"


def test_a_volume_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TuningError, match="OutputNotWritable"):
        copy_to_volume(version(tmp_path / "1", "one"), tmp_path / "file", overwrite=False)
