import io
import os
import re
import subprocess
from pathlib import Path

from tests.toolchain.conftest import HERE
from toolchain import stages
from toolchain.console import Console


def test_the_first_failure_ends_the_run_and_the_table_says_where(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text("lint:\n\t@true\ntypes:\n\t@exit 3\nunit:\n\t@touch ran\n", encoding="utf-8")
    stream = io.StringIO()
    assert stages.run_all(["lint", "types", "unit"], tmp_path, Console(stream)) != 0
    assert not (tmp_path / "ran").exists()
    said = stream.getvalue()
    assert re.search(r"lint +passed", said)
    assert re.search(r"types +FAILED", said)
    assert re.search(r"unit +not run", said)
    assert "`make types` runs that part alone" in said


def test_when_all_pass_the_status_is_zero(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text("lint:\n\t@true\n", encoding="utf-8")
    assert stages.run_all(["lint"], tmp_path, Console(io.StringIO())) == 0


def test_plain_make_lists_every_target() -> None:
    listed = subprocess.check_output(["make"], cwd=HERE.root, text=True)
    makefile = (HERE.root / "Makefile").read_text(encoding="utf-8").replace("\\\n", " ")
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert phony is not None
    for target in set(phony[1].split()) - {"help"}:
        assert re.search(rf"^ +{target} +\S", listed, re.MULTILINE), f"{target} has no description"


def test_make_env_writes_nothing_but_exports_to_standard_output() -> None:
    lines = subprocess.check_output(["make", "env"], cwd=HERE.root, text=True, env=os.environ).splitlines()
    assert lines, "nothing to eval"
    assert [line for line in lines if not re.match(r"export [A-Z_]+=", line)] == []
