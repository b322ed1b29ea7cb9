import re
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


def test_the_kubernetes_provider_is_the_one_that_the_program_asks_for() -> None:
    source = (HERE.root / "components" / "cluster_objects.py").read_text(encoding="utf-8")
    asked = re.search(r'^PROVIDER_VERSION = "(.+)"$', source, re.MULTILINE)
    assert asked is not None
    assert asked[1] == versions.PULUMI_KUBERNETES, "the engine would look for another provider than the one there is"


@pytest.mark.parametrize(
    ("module", "path", "version"),
    [
        ("etcd", "go.etcd.io/etcd/server/v3", versions.ETCD),
        ("kube", "k8s.io/kubernetes", versions.KUBERNETES),
        ("kwok", "sigs.k8s.io/kwok", versions.KWOK),
        ("karpenter", "sigs.k8s.io/karpenter", versions.KARPENTER),
        ("kuberay", "github.com/ray-project/kuberay/ray-operator", versions.KUBERAY),
    ],
)
def test_a_build_and_a_download_are_of_one_version(module: str, path: str, version: str) -> None:
    go_mod = (HERE.root / "toolchain" / module / "go.mod").read_text(encoding="utf-8")
    assert f"{path} v{version}" in go_mod
