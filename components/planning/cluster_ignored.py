"""What of a config a plan on nodes of a cluster has no use for."""

from __future__ import annotations

from collections.abc import Iterator

from components.planning.cluster_weights import is_pulled
from components.planning.config import InferenceSpec, PresetOptions, WorkspaceSpec
from components.planning.engine_arguments import COUNTED_OTHERWISE, OF_THE_SERVER
from components.planning.ignored import ignored
from components.planning.placed import PlacedWorkspace
from components.planning.spec import Spec
from components.planning.tuning_fields import uncounted_keys
from presets.placement import Placement

_NO_NODE_IS_MADE = "no node is made with kubernetes.nodes: existing"


def options_of(workspace: WorkspaceSpec) -> PresetOptions:
    """Of its preset; the defaults where a pod template stands in its place."""
    chosen = workspace.tuning.preset if workspace.tuning else workspace.inference and workspace.inference.preset
    return chosen.preset_options if chosen else PresetOptions()


def ignored_keys(spec: Spec) -> Iterator[str]:
    """Sentences about keys of the stack's config."""
    ray = {"modelyard:ray": "ray" in spec.given}
    yield from ignored(ray, "it is about Ray on this machine", where=f" on target {spec.target}")
    mounted = any(options_of(workspace).image for workspace in spec.workspaces)
    volumes = {"modelyard:kubernetes.imageVolumes": not spec.kubernetes.image_volumes and not mounted}
    yield from ignored(volumes, "no workspace has a presetOptions.image")
    if spec.kubernetes.nodes == "existing":
        yield from ignored({"modelyard:region": "region" in spec.given}, _NO_NODE_IS_MADE)
        prices = {"modelyard:prices": "prices" in spec.given}
        instead = "pricePerHour of modelyard:kubernetes.existing says what they cost"
        yield from ignored(prices, f"{_NO_NODE_IS_MADE}, {instead}", where=" but for its currency")
        nodes = {"modelyard:kubernetes.nodeClassRef": spec.kubernetes.node_class_ref is not None}
        yield from ignored(nodes, _NO_NODE_IS_MADE)
    else:
        described = {"modelyard:kubernetes.existing": bool(spec.kubernetes.existing)}
        yield from ignored(described, _existing_are_not_used(spec))


def ignored_fields(placed: PlacedWorkspace, spec: Spec) -> Iterator[str]:
    """Sentences about fields of one workspace."""
    workspace, facts = placed.spec, placed.facts
    yield from _of_nodes(workspace, spec)
    options = options_of(workspace)
    source = options.weights or (facts.weights_source if facts else "")
    pull = {"presetOptions.imagePullSecrets": bool(options.image_pull_secrets)}
    if spec.target == "aks" or workspace.tuning is not None:
        images = {"presetOptions.image": options.image is not None, **({} if is_pulled(source) else pull)}
        yield from ignored(images, f"the weights come from {source}; images that carry weights are not in this version")
        yield from ignored(
            {"readyTimeoutSeconds": "ready_timeout_seconds" in workspace.model_fields_set},
            "nothing is provisioned there yet, so that nothing is waited for",
            where=f" on target {spec.target}",
        )
    elif not options.image:
        if not is_pulled(source):
            yield from ignored(pull, "neither presetOptions.image nor weights from oci: are pulled")
    else:
        yield from ignored({"presetOptions.weights": options.weights is not None}, "the weights come in the image")
    if workspace.inference is not None:
        yield from _of_engine(placed, workspace.inference)
    if workspace.tuning is not None and (keys := uncounted_keys(workspace.tuning)):
        yield f"not counted by the plan, and passed on to the trainer as they are, of tuning.config: {', '.join(keys)}"


def _of_nodes(workspace: WorkspaceSpec, spec: Spec) -> Iterator[str]:
    resource, existing = workspace.resource, spec.kubernetes.nodes == "existing"
    of_made_nodes = {
        "resource.spot": resource.spot,
        "resource.imageFamily": "image_family" in resource.model_fields_set,
        "resource.nodeClass": resource.node_class is not None,
    }
    if existing:
        yield from ignored(of_made_nodes, _NO_NODE_IS_MADE)
    elif spec.target == "kubernetes" and spec.kubernetes.nodes == "karpenter":
        family = {"resource.imageFamily": of_made_nodes["resource.imageFamily"]}
        yield from ignored(family, "the node class says which system Karpenter's nodes have (resource.nodeClass)")
    if not existing:
        yield from ignored({"resource.preferredNodes": bool(resource.preferred_nodes)}, _existing_are_not_used(spec))


def _existing_are_not_used(spec: Spec) -> str:
    return f"existing nodes are not used with kubernetes.nodes: {spec.kubernetes.nodes}"


def _of_engine(placed: PlacedWorkspace, inference: InferenceSpec) -> Iterator[str]:
    """Arguments of vLLM that no vLLM gets, or that memory is not counted with."""
    arguments = inference.config.vllm
    engine = placed.model.load.engine if isinstance(placed.model, Placement) else placed.spec.engine
    if engine == "transformers":
        yield from ignored({"inference.config.vllm": bool(arguments)}, "the engine is transformers on these GPUs")
        return
    of_server = {f"inference.config.vllm.{name}": True for name in sorted(OF_THE_SERVER & arguments.keys())}
    yield from ignored(of_server, "of vLLM only the engine runs; the HTTP server is Modelyard's own")
    if uncounted := sorted(COUNTED_OTHERWISE & arguments.keys()):
        yield f"memory is counted without {', '.join(uncounted)} of inference.config.vllm, which may change it"
