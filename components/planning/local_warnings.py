"""What a plan does not do although the config asks for it, and what it decides differently from the usual."""

from __future__ import annotations

from components.planning.local_fit import Sized
from components.planning.local_sizing import DEFAULT_SEQUENCES, Machine, place


def warnings_of(sized: Sized, machine: Machine) -> list[str]:
    """Sentences about one workspace, each of which begins with its name."""
    workspace, sequences = sized.spec, sized.sizing.max_sequences
    resource, options = workspace.resource, sized.preset.preset_options
    node_fields = {
        "resource.instanceType": resource.instance_type is not None,
        "resource.count": (resource.count or 1) > 1,
        "resource.labelSelector": resource.label_selector is not None,
        "resource.preferredNodes": bool(resource.preferred_nodes),
        "resource.partition": resource.partition is not None,
        "resource.spot": resource.spot,
    }
    image_fields = {
        "presetOptions.image": options.image is not None,
        "presetOptions.imagePullSecrets": bool(options.image_pull_secrets),
    }
    warnings = _ignored(node_fields, "this machine is the node") + _ignored(image_fields, "no container runs here")
    if options.model_access_secret is not None:
        warnings += _ignored({"presetOptions.modelAccessSecret": True}, "the token is HF_TOKEN of the environment")
    if sequences < DEFAULT_SEQUENCES and sized.inference.config.max_sequences is None:
        warnings.append(
            f"{sequences} requests at a time instead of {DEFAULT_SEQUENCES}, "
            f"because more do not fit in {place(machine)}; a shorter inference.config.maxContext allows more"
        )
    return [f"{workspace.name}: {warning}" for warning in warnings]


def _ignored(fields: dict[str, bool], reason: str) -> list[str]:
    given = [field for field, is_given in fields.items() if is_given]
    if not given:
        return []
    verb = "is" if len(given) == 1 else "are"
    return [f"{', '.join(given)} {verb} ignored on target local: {reason}"]
