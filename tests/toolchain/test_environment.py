import stat
from pathlib import Path

import pytest

from toolchain import environment
from toolchain.errors import ToolchainError
from toolchain.layout import Layout
from toolchain.pulumi_cli import PulumiCli


def test_with_nothing_set_state_and_passphrase_lie_in_the_checkout(layout: Layout) -> None:
    found = environment.state(layout, {})
    assert found["PULUMI_BACKEND_URL"] == layout.state.as_uri()
    assert layout.state.is_dir(), "pulumi refuses a backend whose folder is missing"
    assert found["PULUMI_HOME"] == str(layout.pulumi_home)
    passphrase = Path(found["PULUMI_CONFIG_PASSPHRASE_FILE"])
    assert stat.S_IMODE(passphrase.stat().st_mode) == 0o600
    assert len(passphrase.read_text().strip()) >= 40
    assert environment.state(layout, {}) == found
    assert [path.name for path in layout.private.iterdir() if "part" in path.name] == []


def test_a_generated_passphrase_is_kept(layout: Layout) -> None:
    environment.state(layout, {})
    before = layout.passphrase.read_text()
    environment.state(layout, {})
    assert layout.passphrase.read_text() == before


@pytest.mark.parametrize(
    ("mine", "backend", "home", "passphrase"),
    [
        ({"PULUMI_BACKEND_URL": "s3://ours"}, False, False, False),
        ({"PULUMI_BACKEND_URL": "https://api.pulumi.com"}, False, False, False),
        ({"PULUMI_BACKEND_URL": "file:///srv/state"}, False, False, True),
        ({"PULUMI_ACCESS_TOKEN": "pul-123"}, False, False, False),
        ({"PULUMI_CONFIG_PASSPHRASE": "mine"}, True, True, False),
        ({"PULUMI_CONFIG_PASSPHRASE": ""}, True, True, False),
        ({"PULUMI_CONFIG_PASSPHRASE_FILE": "/run/secrets/mine"}, True, True, False),
        ({"PULUMI_CONFIG_PASSPHRASE_FILE": ""}, True, True, True),
        ({}, True, True, True),
    ],
)
def test_what_a_person_has_set_is_used(
    layout: Layout, mine: dict[str, str], backend: bool, home: bool, passphrase: bool
) -> None:
    found = environment.state(layout, mine)
    assert ("PULUMI_BACKEND_URL" in found) is backend
    assert ("PULUMI_HOME" in found) is home, "a person with a backend of their own needs the logins in their own home"
    assert ("PULUMI_CONFIG_PASSPHRASE_FILE" in found) is passphrase
    assert layout.passphrase.exists() is passphrase


def test_a_home_of_ones_own_is_kept(layout: Layout) -> None:
    assert environment.state(layout, {"PULUMI_HOME": "/home/me/.pulumi"})["PULUMI_HOME"] == "/home/me/.pulumi"


def test_a_lost_passphrase_is_not_replaced_while_stacks_need_it(layout: Layout) -> None:
    environment.state(layout, {})
    layout.passphrase.unlink()
    stack = layout.state / ".pulumi" / "stacks" / "modelyard" / "dev.json"
    stack.parent.mkdir(parents=True)
    stack.touch()
    with pytest.raises(ToolchainError, match=r"passphrase is gone, but .* \(dev\)") as caught:
        environment.state(layout, {})
    assert "PULUMI_CONFIG_PASSPHRASE" in caught.value.way_out
    assert not layout.passphrase.exists()
    assert environment.state(layout, {"PULUMI_CONFIG_PASSPHRASE": "mine"}), "the way out does not work"


def test_our_programs_come_first_and_once(layout: Layout) -> None:
    cli = PulumiCli(folder=layout.cache / "bin", origin="test")
    once = environment.tools(layout, {"PATH": "/usr/bin:/bin"}, cli)
    assert once["PATH"] == f"{layout.cache}/bin:{layout.venv}/bin:/usr/bin:/bin"
    assert environment.tools(layout, once, cli)["PATH"] == once["PATH"], "PATH grows with every `make env`"


def test_a_pulumi_on_path_is_not_moved_before_its_neighbours(layout: Layout) -> None:
    cli = PulumiCli(folder=Path("/opt/pulumi"), origin="test", cached=False)
    found = environment.tools(layout, {"PATH": "/first:/opt/pulumi:/bin"}, cli)
    assert found["PATH"] == f"{layout.venv}/bin:/first:/opt/pulumi:/bin"


def test_a_setting_of_ones_own_wins_over_the_quiet_one(layout: Layout) -> None:
    mine = {"PATH": "/bin", "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "false"}
    found = environment.tools(layout, mine, PulumiCli(folder=Path("/opt"), origin="test"))
    assert found["PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION"] == "false"
    assert found["PULUMI_SKIP_UPDATE_CHECK"] == "true"


def test_another_activated_environment_is_left_behind() -> None:
    mine = {"VIRTUAL_ENV": "/x", "PYTHONPATH": "/y", "PYTHONHOME": "/z", "HF_TOKEN": "kept"}
    assert environment.complete(mine, {"PATH": "/bin"}) == {"HF_TOKEN": "kept", "PATH": "/bin"}


def test_a_provider_is_found_after_our_own_programs(layout: Layout) -> None:
    cli = PulumiCli(folder=layout.cache / "bin", origin="test")
    once = environment.tools(layout, {"PATH": "/usr/bin"}, cli, [Path("/plugins/kubernetes")])
    assert once["PATH"] == f"{layout.cache}/bin:{layout.venv}/bin:/plugins/kubernetes:/usr/bin"
    again = environment.tools(layout, once, cli, [Path("/plugins/kubernetes")])["PATH"]
    assert again.count("/plugins/kubernetes") == 1, "PATH grows with every `make env`"


def test_a_provider_on_path_stays_where_it_is(layout: Layout) -> None:
    cli = PulumiCli(folder=layout.cache / "bin", origin="test")
    found = environment.tools(layout, {"PATH": "/first:/theirs:/bin"}, cli, [Path("/theirs")])
    assert found["PATH"].endswith(":/first:/theirs:/bin")
