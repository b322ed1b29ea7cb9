import tomllib

import pytest

from tests.toolchain.conftest import HERE
from toolchain import versions


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("v3.259.0\n", (3, 259, 0)),
        ("3.260.0-alpha.1+dirty", (3, 260, 0)),
        ("uv 0.13.9 (x86_64-unknown-linux-gnu)", (0, 13, 9)),
        ("go version go1.26.8 linux/amd64", (1, 26, 8)),
        ("go version go1.21 darwin/arm64", (1, 21)),
        ("", None),
        ("pyenv: uv: command not found", None),
        ("warning: A new version is available", None),
    ],
)
def test_the_version_is_found_in_what_a_program_says(said: str, version: tuple[int, ...] | None) -> None:
    assert versions.parse(said) == version


def test_the_cli_the_sdk_and_the_build_are_of_one_version() -> None:
    project = tomllib.loads((HERE.root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert f"pulumi=={versions.PULUMI}" in project["dependencies"], "engine and SDK speak one protocol version"
    go_mod = (HERE.root / "toolchain" / "pulumi" / "go.mod").read_text(encoding="utf-8")
    assert f"github.com/pulumi/pulumi/pkg/v3 v{versions.PULUMI}\n" in go_mod
    assert (versions.parse(versions.PULUMI) or ())[:2] >= versions.PULUMI_MINIMUM
