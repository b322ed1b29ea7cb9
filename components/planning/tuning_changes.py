"""What an update will do to each tuning of this machine, and to the adapters that come of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from components.planning.change_rules import CREATE, DELETE, NO_CHANGE
from components.planning.local_tuning import TuningPlan
from components.planning.tuned_adapters import resolved

_IN_WORDS = {
    "data": "input",
    "lora": "LoraConfig",
    "quantization": "QuantizationConfig",
    "training": "TrainingArguments",
    "max_length": "max_length",
    "batch_size": "per_device_train_batch_size",
    "max_steps": "maxSteps",
    "weights": "weights",
}
_RUNS_BY = frozenset({"resume", "checkpoint_steps", "checkpoint_minutes", "planned_bytes", "directory"})
"""Fields of a job that its adapter does not follow from."""


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """What the last update left of a tuning."""

    job: Mapping[str, JsonValue]
    drift: str = ""
    """What a refresh has found wrong, such as data that are others now."""
    promoted: str = ""
    """The source of the version that is served; "" while none has passed the gate."""
    versions: str = ""
    """Directory of all versions."""


def tuning_changes(tunings: Iterable[TuningPlan], before: Mapping[str, Tuned]) -> dict[str, str]:
    """A sentence for each tuning of the plan, and for each that the plan has no more."""
    planned = {plan.name: _change(plan, before.get(plan.name)) for plan in tunings}
    return planned | {name: DELETE for name in before.keys() - planned.keys()}


def with_known_adapters(
    application: dict[str, JsonValue], before: Mapping[str, Tuned], changes: Mapping[str, str]
) -> dict[str, JsonValue]:
    """An application as it will be where its tunings do not run again; those that do are left by their names."""
    still = {name: tuned for name, tuned in before.items() if changes.get(name) == NO_CHANGE}
    promoted = {name: tuned.promoted for name, tuned in still.items() if tuned.promoted}
    versions = {name: tuned.versions for name, tuned in before.items() if tuned.versions}
    return with_adapters(application, promoted, versions)


def with_adapters(
    application: dict[str, JsonValue], promoted: Mapping[str, str], versions: Mapping[str, str]
) -> dict[str, JsonValue]:
    """A Serve application whose adapters of tunings are named by where they lie."""
    deployments = application["deployments"]
    assert isinstance(deployments, list)
    return {**application, "deployments": [_deployment(each, promoted, versions) for each in deployments]}


def _deployment(deployment: JsonValue, promoted: Mapping[str, str], versions: Mapping[str, str]) -> JsonValue:
    assert isinstance(deployment, dict)
    settings = deployment["user_config"]
    assert isinstance(settings, dict)
    adapters = settings["adapters"]
    assert isinstance(adapters, list)
    placed: list[JsonValue] = []
    for adapter in adapters:
        assert isinstance(adapter, dict)
        placed.append({**adapter, "source": resolved(str(adapter["source"]), promoted, versions)})
    return {**deployment, "user_config": {**settings, "adapters": placed}}


def _change(plan: TuningPlan, before: Tuned | None) -> str:
    if before is None:
        return CREATE
    job = plan.job.model_dump(mode="json")
    keys = (job.keys() | before.job.keys()) - _RUNS_BY
    changed = sorted(_IN_WORDS.get(key, key) for key in keys if job.get(key) != before.job.get(key))
    if changed:
        return (
            f"new {', '.join(changed)} → the tuning job runs again; its adapter is served when it has passed the gate"
        )
    if before.drift:
        return f"{before.drift} → the tuning job runs again"
    return NO_CHANGE
