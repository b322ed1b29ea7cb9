"""What a plan does not do although the config asks for it, and what it decides differently from the usual."""

from __future__ import annotations

from components.planning.api_keys import key_warnings
from components.planning.config import WorkspaceSpec
from components.planning.ignored import ignored_here
from components.planning.local_fit import Sized
from components.planning.local_sizing import DEFAULT_DTYPE, DEFAULT_SEQUENCES, Machine, place
from components.planning.spec import Spec

_LOGIN = "the login is that of docker's config.json"


def warnings_of(sized: Sized, machine: Machine) -> list[str]:
    """Sentences about one workspace, each of which begins with its name."""
    workspace, sequences = sized.spec, sized.sizing.max_sequences
    options = sized.preset.preset_options
    image = {"presetOptions.image": options.image is not None}
    pull = {"presetOptions.imagePullSecrets": bool(options.image_pull_secrets)}
    is_pulled = (options.weights or sized.facts.weights_source).startswith("oci:")
    warnings = [
        *of_nodes(workspace),
        *ignored_here(image if is_pulled else image | pull, "no container runs here"),
        *ignored_here(pull if is_pulled else {}, _LOGIN),
        *ignored_here(
            {"presetOptions.modelAccessSecret": options.model_access_secret is not None},
            "the token is HF_TOKEN of the environment",
        ),
        *ignored_here(
            {
                "inference.adapters.source.imagePullSecrets": any(
                    adapter.source.image_pull_secrets for adapter in sized.inference.adapters
                )
            },
            _LOGIN,
        ),
        *_of_quantization(sized, machine),
        *ignored_here({"inference.config.vllm": bool(sized.inference.config.vllm)}, "the engine is transformers"),
    ]
    if sequences < DEFAULT_SEQUENCES and sized.inference.config.max_sequences is None:
        warnings.append(
            f"{sequences} requests at a time instead of {DEFAULT_SEQUENCES}, "
            f"because more do not fit in {place(machine)}; a shorter inference.config.maxContext allows more"
        )
    return [f"{workspace.name}: {warning}" for warning in warnings]


def _of_quantization(sized: Sized, machine: Machine) -> list[str]:
    quantization = sized.inference.config.quantization
    if quantization is None or machine.gpus:
        return []
    return [
        f"{quantization} saves memory and costs time on a CPU: a token takes several times as long as in "
        f"{sized.inference.config.dtype or DEFAULT_DTYPE}; it is for models that do not fit otherwise"
    ]


def of_nodes(workspace: WorkspaceSpec) -> list[str]:
    """Sentences about what only nodes of a cluster have a use for."""
    resource = workspace.resource
    node_fields = {
        "resource.instanceType": resource.instance_type is not None,
        "resource.count": (resource.count or 1) > 1,
        "resource.labelSelector": resource.label_selector is not None,
        "resource.preferredNodes": bool(resource.preferred_nodes),
        "resource.partition": resource.partition is not None,
        "resource.spot": resource.spot,
        "resource.imageFamily": "image_family" in resource.model_fields_set,
        "resource.nodeClass": resource.node_class is not None,
    }
    return [
        *ignored_here(node_fields, "this machine is the node"),
        *ignored_here(
            {"resource.skipMemoryCheck": resource.skip_memory_check},
            "a model that does not fit this machine is refused all the same",
        ),
        *ignored_here({"loadBalancer": workspace.load_balancer}, "the endpoint is a port of this machine"),
    ]


def local_stack_warnings(spec: Spec) -> list[str]:
    """Sentences about keys of the stack's config that only a cluster has a use for."""
    given = spec.given
    serves = any(workspace.inference is not None for workspace in spec.workspaces)
    unused = {"modelyard:apiKeys": "apiKeys" in given and bool(spec.workspaces) and not serves}
    keys = {
        "modelyard:kubernetes": "kubernetes" in given and "manifests" not in given,
        # Manifests are read by kubernetes.nodes, whatever the target.
        "modelyard:kubernetes.existing": "manifests" in given and bool(spec.kubernetes.existing),
        "modelyard:region": "region" in given,
        "modelyard:prices": "prices" in given,
    }
    return [
        *ignored_here(keys, "this machine is the node, and nobody is paid for it by the hour"),
        *ignored_here(unused, "no workspace serves a model"),
        *key_warnings(spec.api_keys),
    ]
