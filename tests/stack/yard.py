"""A whole Modelyard project in a folder of its own, driven as its users drive it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import openai
import psutil
import yaml

from components.deployed_state import from_resources
from components.reconciliation.local_ray import LocalRay, RayRecord
from components.reconciliation.ray_dashboard import RayDashboard
from components.reconciliation.state import Application

PROJECT = Path(__file__).parents[2]
STACK = "test"
TINY = "smollm2-135m-instruct"
CAPITAL = "Complete the sentence: The capital of France is"
"""SmolLM2's margin for Paris is 1.7 nats here; without "Complete the sentence" it is a near tie."""

_MINUTES = 60
_LEFT_BEHIND = {".git", ".venv", ".venv-serving", ".modelyard", "__pycache__", ".pytest_cache", ".ruff_cache"}


def workspace(name: str, preset: str = TINY, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - any field of the config
    """A workspace as a stack's config has it; `options` go below presetOptions, `config` below inference."""
    options, config = more.pop("options", {}), more.pop("config", {})
    inference = {"preset": {"name": preset, "presetOptions": options}, "config": config}
    return {"name": name, "inference": inference, **more}


@dataclass(frozen=True)
class Run:
    """A finished command: its exit status and everything it printed."""

    code: int
    text: str

    def expect(self) -> Run:
        assert self.code == 0, f"exit {self.code}:\n{self.text}"
        return self

    def expect_failure(self) -> Run:
        assert self.code != 0, f"it was accepted:\n{self.text}"
        return self


def checkout(folder: Path) -> Path:
    """The project's files below `folder`, as a fresh clone has them, with the environments that are installed here."""
    copy = folder / "yard"
    shutil.copytree(PROJECT, copy, ignore=shutil.ignore_patterns(*_LEFT_BEHIND))
    for venv in (".venv", ".venv-serving"):
        (copy / venv).symlink_to(PROJECT / venv)
    return copy


def neutral_environment() -> dict[str, str]:
    """The environment without settings of another Pulumi or Ray."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PULUMI_", "RAY_"))}


class Yard:
    """The project's files in `folder`, with a state, a passphrase and a Pulumi home of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = checkout(folder)
        self._clients = contextlib.ExitStack()
        (folder / "state").mkdir()
        self.environment = neutral_environment() | {
            "PULUMI_HOME": str(folder / "home"),
            "PULUMI_BACKEND_URL": (folder / "state").as_uri(),
            "PULUMI_CONFIG_PASSPHRASE": "of no importance",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        }
        self.pulumi("stack", "init", STACK).expect()

    # what a platform engineer does

    def configure(self, *workspaces: Mapping[str, Any], **keys: object) -> None:
        """Write the stack's file: these workspaces, and further keys of the namespace."""
        values = {"modelyard:target": "local", "modelyard:workspaces": list(workspaces)}
        values |= {f"modelyard:{key}": value for key, value in keys.items()}
        self.write(yaml.safe_dump({"config": values}))

    def write(self, text: str) -> None:
        """Write the stack's file as it is, keeping the salt that Pulumi put there."""
        file = self.folder / f"Pulumi.{STACK}.yaml"
        salt = [line for line in file.read_text().splitlines() if line.startswith("encryptionsalt:")]
        file.write_text("\n".join([*salt, text]))

    def pulumi(self, *arguments: str) -> Run:
        return self.run("pulumi", *arguments, *_options(arguments[0]))

    def run(self, *command: str) -> Run:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=10 * _MINUTES,
            check=False,
        )
        return Run(done.returncode, done.stdout)

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """A pulumi command that the test will interrupt; in a process group of its own, as a shell would have it.

        Its output goes nowhere: what it leaves behind would hold a pipe open.
        """
        return subprocess.Popen(
            ["pulumi", *arguments, *_options(arguments[0])],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def up(self, *workspaces: Mapping[str, Any], refresh: bool = False) -> Run:
        if workspaces:
            self.configure(*workspaces)
        return self.pulumi("up", *(("--refresh",) if refresh else ())).expect()

    def status(self) -> str:
        return self.run(sys.executable, "-m", "components.status", "--stack", STACK).expect().text

    def outputs(self) -> dict[str, Any]:
        return json.loads(self.run("pulumi", "stack", "output", "workspaces", "--json", "-s", STACK).expect().text)

    def state(self, name: str) -> dict[str, Any]:
        """The application's properties in the state, where a refresh leaves what it found."""
        return from_resources(self.resources()).applications[name]

    def resources(self) -> list[dict[str, Any]]:
        """Everything in the stack's state."""
        exported = json.loads(self.run("pulumi", "stack", "export", "-s", STACK).expect().text)
        return exported["deployment"].get("resources") or []

    def conditions(self, name: str) -> dict[str, str]:
        return {condition["type"]: condition["status"] for condition in self.outputs()[name]["conditions"]}

    # what an application developer does

    def endpoint(self, name: str) -> str:
        return f"{self.record.serve_url}/{name}/v1"

    def client(self, name: str) -> openai.OpenAI:
        """A new one, which the yard closes: left to the garbage collector, its connections may be found before it is,
        and their warning fails whichever test runs then."""
        endpoint = self.endpoint(name)
        return self._clients.enter_context(openai.OpenAI(base_url=endpoint, api_key="none", max_retries=0, timeout=120))

    def ready(self, name: str) -> dict[str, Any]:
        """What the service says of itself; an empty dict if it does not answer."""
        try:
            return httpx.get(f"{self.record.serve_url}/{name}/ready", timeout=10).json()
        except (httpx.HTTPError, ValueError):
            return {}

    # what a test looks at

    @property
    def ray(self) -> LocalRay:
        return LocalRay(self.folder, STACK)

    @property
    def record(self) -> RayRecord:
        record = self.ray.record()
        assert record is not None, "Ray is not running"
        return record

    def dashboard(self) -> RayDashboard:
        """To be used in a with block."""
        return self.ray.dashboard(self.record)

    def applications(self) -> dict[str, Application]:
        with self.dashboard() as dashboard:
            return dashboard.applications()

    def engine_pid(self, name: str) -> int:
        return int(self.ready(name)["engine_pid"])

    def replica_pid(self, name: str) -> int:
        pid = self.applications()[name].replicas[0].pid
        assert pid is not None
        return pid

    def processes(self) -> list[psutil.Process]:
        """Every process of this yard's Ray."""
        return self.ray.processes()

    def close(self) -> None:
        self._clients.close()
        self.ray.stop()


def _options(command: str) -> tuple[str, ...]:
    options = ["--non-interactive", "--color=never"]
    if command in ("up", "preview", "refresh", "destroy"):
        options += ["--stack", STACK, "--suppress-progress"]
    if command in ("up", "refresh", "destroy"):
        options += ["--yes"]
    if command in ("up",):
        options += ["--skip-preview"]
    return tuple(options)
