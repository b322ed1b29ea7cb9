"""What an update will do to each workspace of this machine, said in the words of the stack's config."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import cast

from components.planning.api_keys import alike
from components.planning.change_rules import CREATE, DELETE, NO_CHANGE, Effect, effect_of
from components.planning.local_plan import WorkspacePlan
from components.planning.render import application_config
from components.planning.tuning_changes import Tuned, with_known_adapters

_ABSENT = object()

_RESTARTS = ("import_path", "args.", "deployment.ray_actor_options.")
"""What Ray Serve builds new replicas for; all else it changes in running ones (ray/serve/_private/version.py). It
decides for fields that have no name in the config; the others are in components.planning.change_rules."""

_REPLICAS = "deployment.num_replicas"

_IN_WORDS = {
    "import_path": "serving code",
    "args.code_version": "serving code",
    "args.preset": "preset",
    "args.weights": "weights",
    "args.trust_remote_code": "trust_remote_code",
    "args.engine.kind": "engine",
    "args.engine.dtype": "dtype",
    "args.engine.quantization": "quantization",
    "args.engine.max_context": "maxContext",
    "args.engine.max_sequences": "maxSequences",
    "args.engine.threads": "threads",
    "deployment.ray_actor_options.num_cpus": "CPUs",
    "deployment.ray_actor_options.num_gpus": "GPUs",
    "deployment.user_config.api_keys": "apiKeys",
    "deployment.user_config.adapters": "adapters",
    "deployment.user_config.max_waiting_requests": "maxWaitingRequests",
    "deployment.user_config.request_timeout_seconds": "requestTimeoutSeconds",
    "deployment.user_config.sampling.temperature": "sampling.temperature",
    "deployment.user_config.sampling.top_p": "sampling.top_p",
    "deployment.user_config.sampling.top_k": "sampling.top_k",
    "deployment.user_config.sampling.min_p": "sampling.min_p",
    "deployment.user_config.sampling.repetition_penalty": "sampling.repetition_penalty",
}
_RAY_IN_WORDS = {"numCpus": "numCpus", "environment": "serving dependencies"}
_FOLLOWS = frozenset({"deployment.max_ongoing_requests", "deployment.max_surge_percent"})
"""What follows from other fields, which tell the reason; named only where nothing else changes."""


def ray_restart(wanted: Mapping[str, object], running: Mapping[str, object]) -> str:
    """Which settings of this machine's Ray need another Ray, as words; "" if the running one fits.

    Both have servePort, dashboardPort, numCpus and environment (a digest of the serving dependencies); a port that is
    None in `wanted` may be any.

    >>> running = {"servePort": 8000, "dashboardPort": 8265, "numCpus": None, "environment": "a"}
    >>> ray_restart({"servePort": 9000, "dashboardPort": None, "numCpus": None, "environment": "b"}, running)
    'servePort, serving dependencies'
    """
    ports = [key for key in ("servePort", "dashboardPort") if wanted[key] not in (None, running[key])]
    others = [word for key, word in _RAY_IN_WORDS.items() if wanted[key] != running[key]]
    return ", ".join([*ports, *others])


def changes(
    workspaces: Iterable[WorkspacePlan],
    deployed: Mapping[str, Mapping[str, object]],
    drift: Mapping[str, str] | None = None,
    restart: str = "",
    tuned: Mapping[str, Tuned] | None = None,
    tunings: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """What will happen to each workspace of the plan, and to each deployed one that the plan has no more.

    deployed: the Serve application of each workspace as of the last update, by name. One that another version wrote
    may lack fields: those count as changed. drift: what a refresh has found wrong, by name. restart: why Ray is
    replaced, as ray_restart gives it; every deployed workspace is then away until its replicas are back. tuned: what
    was left of tunings, and `tunings` what happens to them, by name.
    """
    planned: dict[str, str] = {}
    for workspace in workspaces:
        application = with_known_adapters(application_config(workspace), tuned or {}, tunings or {})
        planned[workspace.name] = _change(workspace, application, deployed.get(workspace.name))
    for name, found in (drift or {}).items():
        if found and planned.get(name) == NO_CHANGE:
            planned[name] = f"repair: {found}"
    if restart:
        for name in planned.keys() & deployed.keys():
            own = "" if planned[name] == NO_CHANGE else f"; {planned[name]}"
            planned[name] = f"restart, Ray is replaced: {restart}{own}"
    return dict(sorted((planned | {name: DELETE for name in deployed.keys() - planned.keys()}).items()))


def _change(workspace: WorkspacePlan, wanted: Mapping[str, object], before: Mapping[str, object] | None) -> str:
    if before is None:
        return CREATE
    old, new = dict(_fields(before)), dict(_fields(wanted))
    changed = [
        path for path in sorted(old.keys() | new.keys()) if not alike(old.get(path, _ABSENT), new.get(path, _ABSENT))
    ]
    if not changed:
        return NO_CHANGE
    restarts = [path for path in changed if _needs_new_replicas(path)]
    in_place = [path for path in changed if path not in restarts and path != _REPLICAS]
    parts: list[str] = []
    if restarts:
        beside = "beside the old ones" if workspace.surge else "after the old ones, requests wait"
        parts.append(f"new replicas {beside}: {_words(restarts)}")
    if _REPLICAS in changed:
        parts.append(f"replicas {old.get(_REPLICAS, '?')} -> {workspace.replicas}")
    if told := _words([path for path in in_place if path not in _FOLLOWS]):
        parts.append(f"in place: {told}")
    return "; ".join(parts) or f"in place: {_words(in_place)}"


def _needs_new_replicas(path: str) -> bool:
    if path in _IN_WORDS:
        return effect_of(_IN_WORDS[path]) is Effect.NEW_REPLICAS
    return path.startswith(_RESTARTS)


def _words(paths: list[str]) -> str:
    return ", ".join(dict.fromkeys(_IN_WORDS.get(path, path.rpartition(".")[2]) for path in paths))


def _fields(value: Mapping[str, object], above: str = "") -> Iterator[tuple[str, object]]:
    """Every plain value with its path. The one deployment of an application stands under "deployment"."""
    for key, item in value.items():
        if key == "deployments" and isinstance(item, list) and item:
            key, item = "deployment", cast("list[object]", item)[0]
        if isinstance(item, Mapping):
            yield from _fields(cast("Mapping[str, object]", item), f"{above}{key}.")
        else:
            yield f"{above}{key}", item
