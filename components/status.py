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

from components.cluster_status import cluster_status
from components.deployed_state import from_resources
from components.planning.table import plain
from components.reconciliation.adapters import adapters_finding
from components.reconciliation.decide import findings_of, inference_finding, resource_finding
from components.reconciliation.local_ray import LocalRay
from components.reconciliation.provider import observe
from components.reconciliation.state import ConditionType, Desired, Finding
from components.status_table import of_tuning, reasons, recorded_findings, table_of


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m components.status", description=__doc__)
    parser.add_argument("--stack", default="dev")
    stack = parser.parse_args().stack
    command = ["pulumi", "stack", "export", "--stack", stack]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        sys.stdout.write(f"Stack {stack} cannot be read: {answer.stderr.strip() or 'pulumi gave no reason'}\n")
        return 1
    deployed = from_resources(json.loads(answer.stdout)["deployment"].get("resources") or [])
    if deployed.on_cluster:
        sys.stdout.write(cluster_status(deployed.on_cluster) + "\n")
    elif deployed.applications or deployed.tunings:
        _print(stack, deployed.applications, deployed.tunings)
    else:
        sys.stdout.write(
            f"No workspace is deployed in stack {stack}; add one to Pulumi.{stack}.yaml and run make up.\n"
        )
    return 0


def _print(stack: str, workspaces: Mapping[str, Any], tunings: Mapping[str, Any]) -> None:
    findings = {name: live_findings(stack, name, deployed) for name, deployed in sorted(workspaces.items())}
    recorded = {name: recorded_findings(deployed) for name, deployed in sorted(tunings.items())}
    lines = plain(table_of({**workspaces, **tunings}, {**findings, **recorded}, datetime.now(UTC)))
    for name, found in findings.items():
        lines += reasons(name, workspaces[name], found)
    lines += [of_tuning(name, deployed) for name, deployed in sorted(tunings.items())]
    if findings and all(finding.status == "True" for found in findings.values() for finding in found.values()):
        lines += [f"{name} answers at {workspaces[name]['endpoint']}" for name in findings]
        first = min(findings)
        lines += ["", "try it:", example(first, workspaces[first]["endpoint"], _needs_key(workspaces[first]))]
    elif findings:
        lines.append(logs(stack))
    sys.stdout.write("\n".join(lines) + "\n")


def live_findings(stack: str, name: str, deployed: Mapping[str, Any]) -> dict[ConditionType, Finding]:
    """The conditions of a deployed workspace as they are now, whatever the last update saw."""
    desired = Desired(name=name, config=json.loads(deployed["config"]), replicas=int(deployed["replicas"]))
    observed = observe({"stack": stack, "name": name})
    resource, inference = resource_finding(observed, deployed["where"]), inference_finding(desired, observed)
    return findings_of(resource, inference, adapters_finding(desired, observed))


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


if __name__ == "__main__":
    sys.exit(main())
