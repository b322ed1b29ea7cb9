"""What a person should know before nodes are paid for: access, licences, quota, capacity, and what a plan gives up."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence

from components.planning.api_keys import key_warnings
from components.planning.cluster_ignored import ignored_fields, ignored_keys, options_of
from components.planning.ignored import ignored
from components.planning.key_fields import MAKE_ONE
from components.planning.placed import Placed, PlacedWorkspace
from components.planning.spec import Spec
from presets.catalog import Preset
from presets.licenses import license_terms
from presets.node_sizes import NodeSize
from presets.price import BASE_REGION, known_regions
from presets.tuning_placement import TuningPlacement
from presets.weights_source import parse_weights_source

_MISSPELT = 0.82
"""How alike (difflib's ratio) an unknown region and a known one are where one is the other misspelt: eatsus has 0.83 in
common with eastus, eastasia, which is a region of its own, 0.71."""


def workspace_warnings(placed: PlacedWorkspace, spec: Spec) -> list[str]:
    """Sentences about one workspace, each of which begins with its name."""
    found = [
        *(_of_model(placed, placed.facts) if placed.facts else ()),
        *(_of_node(placed, placed.node, spec) if placed.node else ()),
        *(_of_placement(placed, placed.model) if placed.model else ()),
        *ignored_fields(placed, spec),
    ]
    if placed.node is None and placed.kind != "inference":
        found.append(
            "its nodes are not described in modelyard:kubernetes.existing: whether they do is seen only when an update "
            "asks the cluster"
        )
    elif placed.node is None:
        found.append(
            "its nodes are not described in modelyard:kubernetes.existing: whether the model fits, and how it is "
            "divided, is not known"
        )
    return [f"{placed.name}: {warning}" for warning in found]


def _of_model(placed: PlacedWorkspace, facts: Preset) -> Iterator[str]:
    options, preset = options_of(placed.spec), placed.preset
    if facts.repository.gated and not options.model_access_secret:
        yield (
            f"{facts.repository.name} is gated, and presetOptions.modelAccessSecret names no Secret with an HF_TOKEN: "
            "the download would be refused"
        )
    terms = license_terms(facts.repository.license)
    if terms.commercial == "forbidden":
        yield f"the licence of {preset} ({terms.name}) forbids commercial use. {terms.conditions}".rstrip()
    elif terms.commercial in ("conditions", "unknown"):
        yield f"the licence of {preset} ({terms.name}) has conditions: {terms.conditions or 'read it'}"
    if options.weights and not _are_its_own(options.weights, facts):
        yield f"memory is counted for {preset}: the weights from {options.weights} must have its shape"


def _are_its_own(weights: str, facts: Preset) -> bool:
    """Whether a preset's weights come from where it says itself, be it at another revision or version."""
    given, own = parse_weights_source(weights), parse_weights_source(facts.weights_source)
    if given.kind == "hf":
        return given.target.lower() == facts.repository.name.lower()
    return (given.kind, given.target) == (own.kind, own.target)


def _of_node(placed: PlacedWorkspace, node: NodeSize, spec: Spec) -> Iterator[str]:
    if node.retired:
        yield f"{node.name}: {node.retired}"
    if not node.existing and spec.prices.offered(node) is False:
        yield f"{node.name} is not offered in {spec.region}, as far as the price list knows"
    if placed.price is None and not node.existing:
        kind = "spot price" if placed.spot else "price"
        yield f"the {kind} of {node.name} is not known; a price file may give it (modelyard:prices.file)"
    if placed.spot and placed.price is not None:
        yield "spot nodes can be taken back at any time, with 30 seconds' notice"


def _of_placement(placed: PlacedWorkspace, model: Placed) -> Iterator[str]:
    if model.need.total > model.room:
        yield (
            f"does not fit by our arithmetic (a GPU would need {model.need}), and is planned because "
            "resource.skipMemoryCheck asks for it"
        )
    if isinstance(model, TuningPlacement):
        return
    asked = placed.spec.inference.config.max_context if placed.spec.inference else None
    limit = model.load.preset.max_context
    if asked is None and model.load.context < limit:
        yield (
            f"context is cut to {model.load.context:,} of the {limit:,} tokens that {placed.preset} has, so that "
            f"{model.load.sequences} sequences fit; set inference.config.maxContext to ask for another"
        )
    if model.nodes_of_replica > 1 and "infiniband" not in model.node.interconnect:
        times = "once" if model.nodes_of_replica == 2 else f"{model.nodes_of_replica - 1} times"
        nodes = f"{model.nodes_of_replica} nodes"
        yield f"a replica spans {nodes} over Ethernet: each token crosses the network {times}"


def stack_warnings(placed: Sequence[PlacedWorkspace], spec: Spec) -> list[str]:
    """Sentences about the whole stack."""
    return [*ignored_keys(spec), *_of_keys(placed, spec), *_of_region(spec), *_quotas(placed, spec)]


def _of_keys(placed: Sequence[PlacedWorkspace], spec: Spec) -> Iterator[str]:
    served = [workspace.name for workspace in placed if workspace.kind == "inference"]
    keys = spec.api_keys.settings
    if served and not keys:
        yield (
            f"modelyard:apiKeys names no key: who reaches the endpoint of {', '.join(served)} may use it; {MAKE_ONE}"
        )
    templates = [workspace.name for workspace in placed if workspace.kind == "template"]
    if templates and keys:
        yield f"modelyard:apiKeys does not protect {', '.join(templates)}: a pod template looks after itself"
    if not served and not templates:
        yield from ignored({"modelyard:apiKeys": bool(keys)}, "no workspace serves a model")
    yield from key_warnings(spec.api_keys)


def _of_region(spec: Spec) -> Iterator[str]:
    regions = known_regions()
    if spec.kubernetes.nodes == "existing" or spec.region in regions:
        return
    likely = difflib.get_close_matches(spec.region, regions, n=1, cutoff=_MISSPELT)
    hint = f"; did you mean {likely[0]}?" if likely else ""
    times = "" if spec.prices.factor is None else f" x {spec.prices.factor:g}"
    yield (
        f"region {spec.region} is not in the price list, which has {', '.join(regions)}: list prices are taken to be "
        f"those of {BASE_REGION}{times}, and all sizes to be offered{hint}"
    )


def _quotas(placed: Sequence[PlacedWorkspace], spec: Spec) -> Iterator[str]:
    quotas: dict[str, list[tuple[str, int]]] = {}
    for workspace in placed:
        node = workspace.node
        if node is None or node.existing or not node.family:
            continue
        family = "lowPriorityCores (spot)" if workspace.spot else node.family
        quotas.setdefault(family, []).append((workspace.name, workspace.nodes * node.vcpus))
    for family, users in sorted(quotas.items()):
        each = ", ".join(f"{name} {vcpus}" for name, vcpus in users)
        yield f"quota to have in {spec.region}: {sum(vcpus for _, vcpus in users)} vCPUs of {family} ({each})"
