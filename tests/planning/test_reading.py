"""Files and states that cannot be read, or that mean something else than they seem to: what a person is told."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from components import import_kaito, plan_command
from components.deployed_state import APPLICATION_TYPE, RAY_TYPE, WORKSPACE_TYPE, from_resources
from components.manifest_files import manifest_files
from components.planning.errors import Problem, SpecError
from components.planning.spec import RawConfig, parse_spec
from components.planning.yaml_text import YamlError, read_yaml
from components.stack_file import load_file
from components.surroundings import read_surroundings
from tests.permissions import nobody

CHECKOUT = Path(__file__).parents[2]
DEEP = "[" * 3000
STACK = "config:\n  modelyard:workspaces: []\n"


def refusal(folder: Path, stack_file: str | bytes, project: str = "") -> str:
    """What is said of a stack's file that is refused, and of nothing else."""
    written = stack_file if isinstance(stack_file, bytes) else stack_file.encode()
    (folder / "Pulumi.dev.yaml").write_bytes(written)
    if project:
        (folder / "Pulumi.yaml").write_text(project, encoding="utf-8")
    with pytest.raises(SpecError) as refused:
        load_file(folder, "dev")
    (problem,) = refused.value.problems
    assert problem.do, "it does not say what to do"
    return str(refused.value)


def config(folder: Path, stack_file: str, project: str = "") -> RawConfig:
    (folder / "Pulumi.dev.yaml").write_text(textwrap.dedent(stack_file), encoding="utf-8")
    (folder / "Pulumi.yaml").write_text(textwrap.dedent(project), encoding="utf-8")
    return load_file(folder, "dev")


def prices_refusal(folder: Path, file: str) -> str:
    raw = RawConfig(prices={"file": file})
    with pytest.raises(SpecError) as refused:
        parse_spec(raw, stack_file="Pulumi.dev.yaml", around=read_surroundings(raw, folder, lambda _: None))
    return str(refused.value)


# the stack's file


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"config:\n  modelyard:target: \xff\xfe\n", "it is not UTF-8 text"),
        ("- a", "a list of 1"),
        ("hello", '"hello"'),
        ("config: [1]", "config\n    found    a list of 1"),
        ("config: abc", 'config\n    found    "abc"'),
        ("config:\n  1: x", "the key 1 (a number)"),
        ("config:\n  null: x", "the key nothing"),
        ("config:\n  modelyard:a: 1\n  modelyard:a: 2\n", "line 3\n    found    the key modelyard:a stands twice"),
        ("config: {modelyard:a: 1, modelyard:a: 2}", "already defined at line 1"),
        (f"config: {DEEP}", "nested too deeply"),
        ("config: &a {modelyard:a: *a}", "nested too deeply"),
        ("config: {modelyard:a: !!int x}", "a number or a date that cannot be read"),
        (f"config: {{modelyard:a: {'9' * 5000}}}", "a number or a date that cannot be read"),
        ("config:\n  modelyard:target: {secure: 'v1:x'}", "a secret, which make plan cannot read"),
        ("config:\n  modelyard:apiKeys: {secure: 'v1:x'}", "the key of each of modelyard:apiKeys alone"),
        ("config:\n  modelyard:apiKeys: [{name: {secure: 'v1:x'}}]", "use make preview"),
        ("config:\n  modelyard:workspaces: [{a: {secure: 'v1:x'}}]", "use make preview"),
        ("a: [", "correct this line, or the one before it"),
    ],
)
def test_a_stack_file_that_pulumi_would_refuse_is_refused(tmp_path: Path, content: str | bytes, said: str) -> None:
    assert said in refusal(tmp_path, content)


@pytest.mark.parametrize("content", ["", "# nothing yet\n", "config:\n", "encryptionsalt: v1:abc\n"])
def test_a_stack_file_without_a_config_is_an_empty_one(tmp_path: Path, content: str) -> None:
    assert config(tmp_path, content) == RawConfig()


def test_a_key_without_a_value_is_not_taken_for_one_that_is_not_there(tmp_path: Path) -> None:
    assert config(tmp_path, "config:\n  modelyard:target:\n").target == ""


def test_values_of_the_projects_file_are_read_and_those_of_the_stack_win(tmp_path: Path) -> None:
    project = """
        name: modelyard
        config:
          modelyard:target: {value: aks}
          region: {default: westeurope, type: string}
          modelyard:prices: {type: object}
          modelyard:ray: plain
          other:target: local
    """
    assert config(tmp_path, "", project) == RawConfig(target="aks", region="westeurope", ray="plain")
    assert config(tmp_path, "config: {modelyard:target: local}", project).target == "local"
    assert config(tmp_path, "config: {target: kubernetes}", project).target == "kubernetes"


def test_a_project_file_that_cannot_be_read_is_refused_by_its_name(tmp_path: Path) -> None:
    assert "Pulumi.yaml: line 2" in refusal(tmp_path, STACK, project="a: 1\na: 2\n")


def test_a_value_that_pulumi_config_set_wrote_as_json_is_read_as_the_list_that_it_is(tmp_path: Path) -> None:
    written = """config: {modelyard:workspaces: '[{"name": "chat"}]', modelyard:region: eastus}"""
    assert config(tmp_path, written) == RawConfig(workspaces=[{"name": "chat"}], region="eastus")


def test_a_stack_of_a_name_that_no_file_can_have_is_refused_in_words(tmp_path: Path) -> None:
    for stack in ("a" * 5000, "a\0b", "nowhere"):
        with pytest.raises(SpecError, match="choose another stack"):
            load_file(tmp_path, stack)


def test_few_lines_of_aliases_do_not_fill_the_memory() -> None:
    lines = ["a0: &a0 [1, 1]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12))]
    with pytest.raises(YamlError, match="more than 1000000 values"):
        read_yaml("\n".join(lines))


# the price file


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", '"prices.yaml": it is empty; it needs currency'),
        ("- a", "a list of 1 instead of currency"),
        ("currency: USD\ndate: 2026-13-45\n", "prices.yaml: date\n    found    '2026-13-45'"),
        ("currency: USD\ncurrency: EUR\n", "line 2: the key currency stands twice"),
        (DEEP, "nested too deeply"),
    ],
)
def test_a_price_file_that_cannot_be_read_says_why(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "prices.yaml").write_text(content, encoding="utf-8")
    assert said in prices_refusal(tmp_path, "prices.yaml")


def test_a_price_file_in_another_encoding_says_so(tmp_path: Path) -> None:
    (tmp_path / "prices.yaml").write_bytes("currency: €".encode("latin-1", "replace") + b"\xff")
    assert "it is not UTF-8 text" in prices_refusal(tmp_path, "prices.yaml")


@pytest.mark.parametrize(
    ("name", "said"),
    [("", "names no file"), ("a\0b", "null byte"), ("a" * 5000, "File name too long"), ("none.yaml", "No such file")],
)
def test_a_price_file_of_a_name_that_cannot_be_opened_says_why(tmp_path: Path, name: str, said: str) -> None:
    assert said in prices_refusal(tmp_path, name)


# manifests


@pytest.mark.parametrize("pattern", ["secret", "secret/x.yaml", "secret/*.yaml", "secret/**/*.yaml"])
def test_a_folder_that_this_user_may_not_read_is_named(tmp_path: Path, pattern: str) -> None:
    (tmp_path / "secret").mkdir(mode=0)
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    with nobody():
        (file,) = manifest_files(pattern, folder=tmp_path)
    assert (file.path, file.error) == (pattern, "Permission denied")


@pytest.mark.parametrize("pattern", ["a" * 5000, f"{'a' * 5000}/*.yaml", "a**/b", "a\0b", "a\0*.yaml", ""])
def test_a_pattern_that_no_file_can_have_finds_none_or_says_why(tmp_path: Path, pattern: str) -> None:
    assert all(file.error for file in manifest_files(pattern, folder=tmp_path))


def test_a_manifest_that_is_nested_too_deeply_is_refused_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "ws.yaml").write_text(f"a: {DEEP}", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert import_kaito.main(["ws.yaml"]) == 1
    assert "nested too deeply" in capsys.readouterr().err


# import-kaito


def make_import(file: Path | None) -> subprocess.CompletedProcess[str]:
    """As a person calls it; the environment is there already."""
    given = [] if file is None else [f"FILE={file}"]
    command = ["make", "import-kaito", "TOOLCHAIN=true", f"BIN={Path(sys.executable).parent}", *given]
    without = {name: value for name, value in os.environ.items() if name not in ("FILE", "MAKEFLAGS")}
    return subprocess.run(command, cwd=CHECKOUT, env=without, capture_output=True, text=True, check=False)


def test_import_kaito_without_a_file_says_how_to_name_one() -> None:
    answer = make_import(None)
    assert answer.returncode != 0
    assert "make import-kaito FILE=ws.yaml" in answer.stderr


def test_import_kaito_takes_a_file_with_a_space_in_its_name(tmp_path: Path) -> None:
    manifest = CHECKOUT / "tests/planning/kaito/manifests/one_preset_phi_4.yaml"
    (tmp_path / "my ws.yaml").write_text(manifest.read_text(encoding="utf-8"), encoding="utf-8")
    answer = make_import(tmp_path / "my ws.yaml")
    assert answer.returncode == 0, answer.stderr
    assert "modelyard:workspaces:" in answer.stdout


def test_import_kaito_of_an_empty_folder_says_that_it_holds_no_yaml(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert import_kaito.main([str(tmp_path)]) == 1
    assert "no .yaml or .yml file in this folder" in capsys.readouterr().err


# the state


APPLICATION: dict[str, Any] = {"type": APPLICATION_TYPE, "outputs": {"name": "chat", "config": "{}", "drift": ""}}
RECORD: dict[str, Any] = {"type": WORKSPACE_TYPE, "outputs": {"plan": {"name": "chat", "target": "local"}}}


@pytest.mark.parametrize(
    "resource",
    [
        7,
        {},
        {"outputs": {"name": "other"}},
        {"type": APPLICATION_TYPE},
        {"type": APPLICATION_TYPE, "outputs": {"config": "{}"}},
        {"type": APPLICATION_TYPE, "outputs": {"name": "other"}},
        {"type": APPLICATION_TYPE, "outputs": {"name": "other", "config": "{"}},
        {"type": APPLICATION_TYPE, "outputs": {"name": "other", "config": "[]"}},
        {"type": WORKSPACE_TYPE, "outputs": {"plan": "text"}},
        {"type": WORKSPACE_TYPE, "outputs": {"plan": {"target": "local"}}},
        {"type": WORKSPACE_TYPE, "outputs": []},
        {"type": RAY_TYPE, "outputs": {"serveUrl": "http://127.0.0.1:8000"}},
        {"type": RAY_TYPE, "outputs": {"serveUrl": "http://a:port", "dashboardUrl": "http://a:1", "environment": ""}},
    ],
)
def test_a_resource_that_another_version_wrote_hides_no_other(resource: object) -> None:
    deployed = from_resources([resource, APPLICATION, RECORD])
    assert (list(deployed.applications), list(deployed.records), deployed.ray) == (["chat"], ["chat"], {})


def plan_with_state(folder: Path, content: str | None, monkeypatch: pytest.MonkeyPatch) -> int:
    """make plan of a stack without workspaces, beside a state; None: there is no such file."""
    (folder / "Pulumi.dev.yaml").write_text(STACK, encoding="utf-8")
    if content is not None:
        (folder / "state.json").write_text(content, encoding="utf-8")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["plan", "--state", "state.json"])
    return plan_command.main()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No such file"),
        ("{", "it is not JSON"),
        ("{}", "it has no deployment"),
        ("[]", "it has no deployment"),
        ('{"deployment": {"resources": 3}}', "its resources are no list"),
        (DEEP, "nested too deeply"),
    ],
)
def test_a_state_that_cannot_be_read_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], content: str | None, said: str
) -> None:
    assert plan_with_state(tmp_path, content, monkeypatch) == 1
    err = capsys.readouterr().err
    assert said in err
    assert "pulumi stack export --file state.json" in err
    assert err.count("\n") == 1


def test_a_state_with_resources_that_cannot_be_read_is_compared_with_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    state = {"deployment": {"resources": [{}, None, {"type": WORKSPACE_TYPE, "outputs": {"plan": 1}}]}}
    assert plan_with_state(tmp_path, json.dumps(state), monkeypatch) == 0, capsys.readouterr().err


def test_ctrl_c_ends_a_plan_with_one_line(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.dev.yaml").write_text(STACK, encoding="utf-8")
    pulumi = tmp_path / "bin" / "pulumi"
    pulumi.parent.mkdir()
    pulumi.write_text("#!/bin/sh\nkill -INT $PPID\nsleep 5\n", encoding="utf-8")
    pulumi.chmod(0o755)
    environment = {**os.environ, "PATH": f"{pulumi.parent}:{os.environ['PATH']}", "PYTHONPATH": str(CHECKOUT)}
    command = [sys.executable, "-m", "components.plan_command"]
    answer = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert answer.returncode == 128 + signal.SIGINT
    assert answer.stderr == "stopped; nothing was changed\n"


# what a terminal would obey


def test_what_steers_a_terminal_is_shown_instead_of_sent() -> None:
    shown = str(SpecError([Problem(path="a\x1b[2J", found="b\rc\u202e", allowed="é", do="d")], "f\x07"))
    assert shown == "1 problem in f\\x07\n  a\\x1b[2J\n    found    b\\rc\\u202e\n    allowed  é\n    do       d"
