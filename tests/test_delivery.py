"""The serving code as one archive: the same bytes for the same code, whole, and small enough for a ConfigMap."""

from __future__ import annotations

import ast
import base64
import io
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from components.delivery import archive, delivery, ray_version
from components.fingerprints import PROJECT, SHARED, code_version
from serving.version import VERSION

CONFIG_MAP_BYTES = 1024 * 1024
"""Of all values of a ConfigMap, as the API server counts them: in base64 where they are binary."""


@pytest.fixture(scope="module")
def names() -> list[str]:
    with zipfile.ZipFile(io.BytesIO(archive(PROJECT))) as found:
        return found.namelist()


@pytest.fixture
def unpacked(tmp_path: Path) -> Path:
    """As the init container unpacks it."""
    packed = tmp_path / "code.zip"
    packed.write_bytes(base64.b64decode(delivery(PROJECT).archive))
    code = tmp_path / "code"
    subprocess.run([sys.executable, "-m", "zipfile", "-e", packed, code], check=True, capture_output=True)
    return code


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Another checkout of the same code, at another time."""
    project = tmp_path / "elsewhere"
    ignored = shutil.ignore_patterns("__pycache__")
    for folder in ("serving", "presets"):
        shutil.copytree(PROJECT / folder, project / folder, ignore=ignored)
    shutil.copytree(PROJECT / "requirements", project / "requirements")
    for file in project.rglob("*.py"):
        os.utime(file, (0, 1_000_000_000))
        file.chmod(0o600)
    return project


def test_the_same_code_is_the_same_bytes_wherever_and_whenever_it_was_checked_out(checkout: Path) -> None:
    assert archive(checkout) == archive(PROJECT), "every checkout would replace every replica"
    assert delivery(checkout) == delivery(PROJECT)


def test_other_code_is_another_archive_and_another_digest(checkout: Path) -> None:
    (checkout / "serving" / "version.py").write_text('VERSION = "9.9.9"\n')
    assert archive(checkout) != archive(PROJECT)
    assert delivery(checkout).digest != delivery(PROJECT).digest


def test_what_replicas_do_not_import_changes_nothing(checkout: Path) -> None:
    (checkout / "presets" / "memory.py").write_text("")
    (checkout / "serving" / "notes.txt").write_text("")
    assert delivery(checkout) == delivery(PROJECT)


def test_it_fits_into_a_config_map() -> None:
    found = delivery(PROJECT).archive
    assert len(found) < CONFIG_MAP_BYTES, f"{len(found)} bytes"


def test_the_code_runs_from_where_it_is_unpacked(unpacked: Path) -> None:
    command = "import serving.version, presets.serve_config; print(serving.version.VERSION, serving.__file__)"
    bare = {"PYTHONPATH": str(unpacked), "PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"}
    ran = subprocess.run(
        [sys.executable, "-c", command], env=bare, cwd=unpacked.parent, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    version, place = ran.stdout.split()
    assert version == VERSION
    assert place.startswith(str(unpacked)), "the checkout's code was found instead"


def test_files_can_be_read_by_the_user_of_the_pods(unpacked: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(archive(PROJECT))) as found:
        assert {info.external_attr >> 16 for info in found.infolist()} == {0o644}
    assert (unpacked / "serving" / "app.py").stat().st_mode & 0o400


def test_it_holds_the_serving_code_and_nothing_else(names: list[str]) -> None:
    assert {name.partition("/")[0] for name in names} == {"serving", "presets"}
    strange = [name for name in names if Path(name).stem.startswith("test") or not name.endswith(".py")]
    assert strange == []
    assert sorted(names) == names
    assert len(set(names)) == len(names)
    missing = {str(file.relative_to(PROJECT)) for file in (PROJECT / "serving").rglob("*.py")} - set(names)
    assert missing == set()


def test_it_holds_every_module_of_ours_that_it_imports(names: list[str]) -> None:
    missing: set[str] = set()
    for name in names:
        for module in imported((PROJECT / name).read_text(encoding="utf-8"), name):
            path = module.replace(".", "/")
            if module.partition(".")[0] in ("components", "toolchain", "tests", "benchmarks", "kernels"):
                missing.add(f"{name} imports {module}")
            ours = module.partition(".")[0] in ("serving", "presets")
            if ours and not {f"{path}.py", f"{path}/__init__.py"} & set(names):
                missing.add(f"{name} imports {module}")
    assert missing == set(), "replicas would fail when they start; components.fingerprints.SHARED names what goes along"


def imported(source: str, name: str) -> set[str]:
    """Modules that a file imports, wherever in it."""
    found: set[str] = set()
    for each in ast.walk(ast.parse(source, name)):
        if isinstance(each, ast.Import):
            found |= {alias.name for alias in each.names}
        elif isinstance(each, ast.ImportFrom):
            assert each.level == 0, f"{name} has a relative import"
            assert each.module is not None
            package = PROJECT / each.module.replace(".", "/")
            modules = {f"{each.module}.{alias.name}" for alias in each.names if (package / f"{alias.name}.py").exists()}
            found |= modules or {each.module}
    return found


def test_what_goes_along_is_used(names: list[str]) -> None:
    imports = {module for name in names for module in imported((PROJECT / name).read_text(encoding="utf-8"), name)}
    unused = [name for name in SHARED if "__init__" not in name and name[:-3].replace("/", ".") not in imports]
    assert unused == [], "a change of it would replace every replica for nothing"


def test_the_delivery_names_the_code_and_the_ray_of_the_lock() -> None:
    found = delivery(PROJECT)
    assert found.digest == code_version(PROJECT)
    lock = (PROJECT / "requirements" / "serving.txt").read_text(encoding="utf-8")
    assert f"ray[serve]=={found.ray_version} " in lock or f"ray=={found.ray_version} " in lock


def test_a_lock_without_ray_is_said_and_not_guessed() -> None:
    assert ray_version("ray==2.61.1 \\\n") == "2.61.1"
    with pytest.raises(ValueError, match="run make lock"):
        ray_version("raylib==1.0\n#ray==2\n")
