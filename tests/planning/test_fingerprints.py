"""What replaces running replicas when the program is updated."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from components.fingerprints import SHARED, code_version

PROJECT = Path(__file__).parents[2]


def test_the_files_that_replicas_import_are_those_that_count() -> None:
    imported = {
        module
        for file in PROJECT.glob("serving/**/*.py")
        for module in re.findall(r"^\s*(?:from|import) (presets[\w.]*)", file.read_text(), flags=re.MULTILINE)
    }
    counted = {name.removesuffix(".py").replace("/", ".") for name in SHARED}
    assert imported <= counted, "a change of what serving imports has to replace its replicas"


def test_another_price_or_preset_replaces_no_replica_and_other_serving_code_does(tmp_path: Path) -> None:
    for folder in ("serving", "presets"):
        shutil.copytree(PROJECT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    before = code_version(tmp_path)
    (tmp_path / "presets" / "placement.py").write_text("# planned otherwise\n")
    assert code_version(tmp_path) == before
    (tmp_path / "presets" / "serve_config.py").write_text("# read otherwise\n")
    after = code_version(tmp_path)
    assert after != before
    (tmp_path / "serving" / "app.py").write_text("# served otherwise\n")
    assert code_version(tmp_path) != after
