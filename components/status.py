"""`make status`: the workspaces as they are now, in the manner of `kubectl get workspace`."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.table import Table

from components.deployed_state import from_resources
from components.planning.table import plain
from components.reconciliation.adapters import adapters_finding
from components.reconciliation.decide import findings_of, inference_finding, resource_finding
from components.reconciliation.local_ray import LocalRay
from components.reconciliation.provider import observe
from components.reconciliation.state import ConditionType, Desired, Finding

HEADINGS = ("NAME", "INSTANCE", "RESOURCEREADY", "INFERENCEREADY", "WORKSPACEREADY", "AGE")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m components.status", description=__doc__)
    parser.add_argument("--stack", default="dev")
    stack = parser.parse_args().stack
    command = ["pulumi", "stack", "export", "--stack", stack]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        sys.stdout.write(f"Stack {stack} cannot be read: {answer.stderr.strip() or 'pulumi gave no reason'}\n")
        return 1
    _print(stack, from_resources(json.loads(answer.stdout)["deployment"].get("resources") or []).applications)
    return 0


def _print(stack: str, workspaces: Mapping[str, Any]) -> None:
    if not workspaces:
        sys.stdout.write(
            f"No workspace is deployed in stack {stack}; add one to Pulumi.{stack}.yaml and run make up.\n"
        )
        return
    findings = {name: live_findings(stack, name, deployed) for name, deployed in sorted(workspaces.items())}
    lines = plain(table_of(workspaces, findings, datetime.now(UTC)))
    for name, found in findings.items():
        lines += reasons(name, workspaces[name], found)
    if all(finding.status == "True" for found in findings.values() for finding in found.values()):
        lines += [f"{name} answers at {workspaces[name]['endpoint']}" for name in findings]
        first = min(findings)
        lines += ["", "try it:", example(first, workspaces[first]["endpoint"], _needs_key(workspaces[first]))]
    else:
        lines.append(logs(stack))
    sys.stdout.write("\n".join(lines) + "\n")


def live_findings(stack: str, name: str, deployed: Mapping[str, Any]) -> dict[ConditionType, Finding]:
    """The conditions of a deployed workspace as they are now, whatever the last update saw."""
    desired = Desired(name=name, config=json.loads(deployed["config"]), replicas=int(deployed["replicas"]))
    observed = observe({"stack": stack, "name": name})
    resource, inference = resource_finding(observed, deployed["where"]), inference_finding(desired, observed)
    return findings_of(resource, inference, adapters_finding(desired, observed))


def table_of(
    workspaces: Mapping[str, Any], findings: Mapping[str, Mapping[ConditionType, Finding]], now: datetime
) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="")
    for heading in HEADINGS:
        table.add_column(heading, no_wrap=True)
    for name, found in findings.items():
        deployed = workspaces[name]
        statuses = (found[kind].status for kind in ("ResourceReady", "InferenceReady", "WorkspaceReady"))
        table.add_row(name, deployed["where"], *statuses, age(deployed["createdAt"], now))
    return table


def reasons(name: str, deployed: Mapping[str, Any], found: Mapping[ConditionType, Finding]) -> list[str]:
    """One line for each condition that is not True; WorkspaceReady only repeats one of the others."""
    recorded = {condition["type"]: condition for condition in deployed["conditions"]}
    lines: list[str] = []
    for kind, finding in found.items():
        if finding.status == "True" or kind == "WorkspaceReady":
            continue
        before = recorded.get(kind)
        since = "" if before is None or before["status"] == "True" else f" (since {before['lastTransitionTime']})"
        lines.append(f"{name}: {kind} is {finding.status}: {finding.reason}: {finding.message}{since}")
    return lines


def _needs_key(deployed: Mapping[str, Any]) -> bool:
    deployments = json.loads(deployed["config"]).get("deployments") or [{}]
    return bool(deployments[0].get("user_config", {}).get("api_keys"))


def example(model: str, endpoint: str, needs_key: bool = False) -> str:
    """A request to copy and paste."""
    question = "Complete the sentence: The capital of France is"
    body = {"model": model, "messages": [{"role": "user", "content": question}], "temperature": 0}
    key = ' -H "Authorization: Bearer $API_KEY"' if needs_key else ""
    return f"curl -s {endpoint}/chat/completions -H 'Content-Type: application/json'{key} -d '{json.dumps(body)}'"


def logs(stack: str) -> str:
    """Where to look next."""
    ray = LocalRay(Path.cwd(), stack)
    record = ray.record()
    inside = f", {record.temp_dir}/session_latest/logs" if record is not None else ""
    return f"Ray's logs: {ray.log_file}{inside}. make up repairs what does not heal by itself."


def age(created: str, now: datetime) -> str:
    """How long ago, in kubectl's manner.

    >>> age("2026-01-01T00:00:00Z", datetime(2026, 1, 1, 2, 5, tzinfo=UTC))
    '2h'
    """
    seconds = int((now - datetime.fromisoformat(created)).total_seconds())
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= length:
            return f"{seconds // length}{unit}"
    return f"{max(seconds, 0)}s"


if __name__ == "__main__":
    sys.exit(main())
