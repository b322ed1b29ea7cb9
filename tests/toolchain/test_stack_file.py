import io
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.toolchain.conftest import HERE
from toolchain import environment, stack_file, stacks
from toolchain.console import Console
from toolchain.layout import Layout

CONFIG = "config:\n  modelyard:target: local\n"
SALT = "v1:T2mN4OFYHRM=:v1:3tS2eXqWWpuGNrk4:qhl8qZNtOQpOHmDVwmq8+NfS9EZUkQ=="
OTHER_SALT = SALT.replace("T2mN", "AAAA")


def write_stack(layout: Layout, text: str) -> Path:
    path = layout.root / "Pulumi.dev.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def write_state(layout: Layout, salt: str) -> None:
    path = layout.state / ".pulumi" / "stacks" / stack_file.project(layout.root) / "dev.json"
    path.parent.mkdir(parents=True)
    latest = {"secrets_providers": {"type": "passphrase", "state": {"salt": salt}}}
    path.write_text(json.dumps({"version": 3, "checkpoint": {"latest": latest}}), encoding="utf-8")


def test_a_salt_of_a_state_that_is_gone_is_dropped(layout: Layout) -> None:
    path = write_stack(layout, f"{CONFIG}encryptionsalt: {SALT}\n")
    assert stack_file.drop_foreign_salt(layout.root, layout.state, "dev")
    assert path.read_text() == CONFIG


def test_a_salt_of_another_state_is_dropped(layout: Layout) -> None:
    write_state(layout, OTHER_SALT)
    path = write_stack(layout, f"encryptionsalt: {SALT}\n{CONFIG}")
    assert stack_file.drop_foreign_salt(layout.root, layout.state, "dev")
    assert path.read_text() == CONFIG


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (f"{CONFIG}encryptionsalt: {SALT}\n", "it is the state's own"),
        (
            f"{CONFIG}  modelyard:token:\n    secure: v1:abc\nencryptionsalt: {OTHER_SALT}\n",
            "secrets cannot be read without it",
        ),
        (f"{CONFIG}  modelyard:list:\n    - secure: v1:abc\nencryptionsalt: {OTHER_SALT}\n", "the same, in a list"),
        (CONFIG, "there is none"),
    ],
)
def test_every_other_stack_file_stays_as_it_is(layout: Layout, text: str, why: str) -> None:
    write_state(layout, SALT)
    path = write_stack(layout, text)
    assert not stack_file.drop_foreign_salt(layout.root, layout.state, "dev"), why
    assert path.read_text() == text


def test_a_stack_without_a_file_is_no_error(layout: Layout) -> None:
    assert not stack_file.drop_foreign_salt(layout.root, layout.state, "prod")


@pytest.mark.stack
@pytest.mark.skipif(shutil.which("pulumi") is None, reason="no pulumi on PATH; `make test-toolchain` brings one")
def test_a_new_stack_leaves_the_committed_file_clean_for_git(layout: Layout) -> None:
    # As it is committed: in a checkout that runs a stack, the working copy has that stack's salt.
    committed = stack_file.SALT.sub("", (HERE.root / "Pulumi.dev.yaml").read_text())
    (layout.root / "Pulumi.dev.yaml").write_text(committed)
    shutil.copy(HERE.root / ".gitattributes", layout.root)

    def git(*words: str) -> str:
        identity = ("-c", "user.name=test", "-c", "user.email=test@example.org")
        return subprocess.check_output(["git", *identity, *words], cwd=layout.root, text=True)

    git("init", "--quiet")
    git("add", "Pulumi.yaml", "Pulumi.dev.yaml", ".gitattributes")
    git("commit", "--quiet", "--message", "test")
    path = {"PATH": f"{pulumi()}:/usr/bin:/bin"}
    env = environment.complete({}, {**environment.QUIET, **environment.state(layout, {}), **path})
    assert stacks.prepare(layout, "dev", "up", {}, env, Console(io.StringIO()))

    assert "encryptionsalt: v1:" in (layout.root / "Pulumi.dev.yaml").read_text(), "pulumi no longer writes a salt here"
    assert git("status", "--short", "--untracked-files=no") == "", (
        "pulumi changed more of Pulumi.dev.yaml than the salt: write the file in the form in which pulumi writes it"
    )
    with (layout.root / "Pulumi.dev.yaml").open("a") as file:
        file.write("# mine\n")
    stack_file.hide_salt_from_git(layout.root, path)
    assert git("status", "--short", "--untracked-files=no") == " M Pulumi.dev.yaml\n", "an edit must stay visible"


def pulumi() -> str:
    found = shutil.which("pulumi")
    assert found is not None
    return str(Path(found).parent)


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("config:\n  modelyard:target: kubernetes\n", "kubernetes"),
        ('config:\n  "modelyard:target": "aks"\n', "aks"),
        ("config: {}\n", "local"),
        ("config:\n  # modelyard:target: kubernetes\n  modelyard:region: eastus\n", "local"),
    ],
)
def test_the_target_of_a_stack_decides_what_is_installed_for_it(tmp_path: Path, text: str, target: str) -> None:
    (tmp_path / "Pulumi.prod.yaml").write_text(text)
    assert stack_file.target(tmp_path, "prod") == target
    assert stack_file.target(tmp_path, "not-there") == "local"
