"""AdaptersReady: whether all replicas have all adapters that the config wants. Pure, as decide.py is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from components.reconciliation.state import AdapterState, Desired, Finding, Observed, ReplicaAdapters, not_ready, ready
from presets.serve_config import AdapterSettings, adapters_generation


def wanted_adapters(config: Mapping[str, Any]) -> list[AdapterSettings]:
    """The adapters of an application's config; none in one that another version wrote."""
    deployments: Sequence[Mapping[str, Any]] = config.get("deployments") or ()
    listed = [adapter for each in deployments for adapter in (each.get("user_config") or {}).get("adapters") or ()]
    return [AdapterSettings.model_validate(adapter) for adapter in listed]


def adapters_finding(desired: Desired, observed: Observed) -> Finding | None:
    """AdaptersReady of an application as it is found; None where its config has no adapters."""
    wanted = wanted_adapters(desired.config)
    if not wanted:
        return None
    running = observed.application.running if observed.application is not None else 0
    generation = adapters_generation(wanted)
    current = [replica for replica in observed.adapters if replica.generation == generation]
    names = {adapter.name for adapter in wanted}
    for adapter in _of(current, names):
        if adapter.state == "Failed":
            return not_ready(adapter.reason or "AdapterFailed", f"adapter {adapter.name}: {adapter.message}")
    if len(current) < max(running, desired.replicas):
        message = f"{len(current)} of {max(running, desired.replicas)} replicas have taken over the list of adapters"
        return not_ready("AdaptersLoading", message)
    if lacking := [name for replica in current for name in sorted(names - {each.name for each in replica.adapters})]:
        return not_ready("AdaptersLoading", f"a replica does not report the adapter {lacking[0]}")
    loading = [adapter for adapter in _of(current, names) if adapter.state != "Ready"]
    if loading:
        first = loading[0]
        return not_ready(
            "AdaptersLoading", f"adapter {first.name} is loading" + (f": {first.message}" if first.message else "")
        )
    counted = "1 adapter is" if len(wanted) == 1 else f"{len(wanted)} adapters are"
    return ready("AdaptersReady", f"{counted} served by all replicas")


def is_loading(finding: Finding) -> bool:
    """Whether waiting helps."""
    return finding.reason == "AdaptersLoading"


def _of(replicas: Sequence[ReplicaAdapters], names: set[str]) -> list[AdapterState]:
    return [adapter for replica in replicas for adapter in replica.adapters if adapter.name in names]
