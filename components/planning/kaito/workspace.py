"""A Workspace, or an InferenceSet's template, as one item of modelyard:workspaces, or all that is wrong with it."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import ValidationError

from components.planning.config import ConfigModel, ResourceSpec
from components.planning.explain import explain
from components.planning.kaito import annotations, resource
from components.planning.kaito.documents import Document
from components.planning.kaito.findings import Findings
from components.planning.kaito.inference import Context, inference_item, tuning_item
from components.planning.kaito.schema import InferenceSet, Metadata, Resource, Workspace
from components.planning.names import MAX_NAME, is_workspace_name, valid_name_like
from components.planning.place import Place
from components.planning.tuning_rules import tuning_resource_problems

V1ALPHA1 = "kaito.sh/v1alpha1"

_Model = TypeVar("_Model", bound=ConfigModel)


def from_workspace(document: Document, context: Context) -> dict[str, Any] | None:
    """The item; None if the fields cannot be read. It is of use only if `context` got no problem by it."""
    place, findings = document.place, context.findings
    _check_spec_is_absent(document, findings)
    content = {key: value for key, value in document.content.items() if key != "spec"}
    workspace = _read(Workspace, content, place, findings)
    if workspace is None:
        return None
    v1alpha1 = workspace.api_version == V1ALPHA1
    _check_name(workspace.metadata, place.at("metadata"), findings)
    _check_version(workspace, place, findings)
    own, of_nodes = annotations.honoured(workspace.metadata.annotations, place.at("metadata", "annotations"), findings)
    nodes = resource.converted(
        workspace.resource,
        place.at("resource"),
        findings,
        existing_nodes=context.existing_nodes,
        v1alpha1=v1alpha1,
    )
    item: dict[str, Any] = {"name": workspace.metadata.name, "resource": nodes | of_nodes}
    if workspace.inference is not None and workspace.tuning is not None:
        findings.refuse(
            place,
            found="both inference and tuning",
            allowed="either inference or tuning, but not both",
            do="make two Workspaces of it; the one that serves names the tuned image as an adapter",
        )
    elif workspace.inference is not None:
        item["inference"] = inference_item(
            workspace.inference, place.at("inference"), document, context, engine=own.get("engine"), v1alpha1=v1alpha1
        )
    elif workspace.tuning is not None:
        for field in own:
            findings.warn(place.at("metadata", "annotations"), f"{field} is not honoured: a tuning job does not serve")
        own = {}
        item["tuning"] = tuning_item(workspace.tuning, place.at("tuning"), document, context)
        nodes_of_tuning = ResourceSpec.model_construct(
            count=workspace.resource.count, partition=workspace.resource.partition
        )
        findings.problems += tuning_resource_problems(nodes_of_tuning, place.at("resource"))
    else:
        findings.refuse(
            place,
            found="neither inference nor tuning",
            allowed="either inference or tuning",
            do="add inference: {preset: {name: phi-3-mini-4k-instruct}}",
        )
    return item | own


def from_inference_set(document: Document, context: Context) -> dict[str, Any] | None:
    """The item with its replicas; None if the fields cannot be read, or if there are to be no replicas."""
    place, findings = document.place, context.findings
    whole = _read(InferenceSet, document.content, place, findings)
    if whole is None:
        return None
    spec, template = whole.spec, place.at("spec", "template")
    _check_name(whole.metadata, place.at("metadata"), findings)
    _warn_of_unread_fields(whole, place.at("spec"), findings)
    own, of_nodes = annotations.honoured(
        whole.metadata.annotations | spec.template.metadata.annotations, place.at("metadata", "annotations"), findings
    )
    nodes = resource.converted(
        Resource.model_validate(
            {
                "instanceType": spec.template.resource.instance_type,
                "labelSelector": spec.label_selector,
                "partition": spec.template.resource.partition,
            }
        ),
        template.at("resource"),
        findings,
        existing_nodes=context.existing_nodes,
        v1alpha1=False,
        selector_place=place.at("spec", "labelSelector"),
    )
    # Its inference is v1beta1's in both versions.
    inference = inference_item(
        spec.template.inference,
        template.at("inference"),
        document,
        context,
        engine=own.get("engine"),
        v1alpha1=False,
    )
    if whole.api_version == V1ALPHA1 and spec.template.resource.partition is not None:
        _refuse_in_v1alpha1(template.at("resource", "partition"), findings)
    if spec.replicas == 0:
        findings.warn(place.at("spec", "replicas"), "0: left out of the plan; write 1 or more to serve it again")
        return None
    return {
        "name": whole.metadata.name,
        "resource": nodes | of_nodes,
        "inference": inference,
        "replicas": spec.replicas,
    } | own


def _read(model: type[_Model], content: dict[str, Any], place: Place, findings: Findings) -> _Model | None:
    try:
        return model.model_validate(content)
    except ValidationError as error:
        findings.problems += explain(error, model, place, skip=frozenset())
        return None


def _check_spec_is_absent(document: Document, findings: Findings) -> None:
    if "spec" in document.content:
        findings.refuse(
            document.place.at("spec"),
            found="unknown field spec",
            allowed="resource, inference and tuning at the top: KAITO's Workspace has no spec",
            do="move what stands below spec: up to the left margin, and remove spec:",
        )


def _check_name(metadata: Metadata, place: Place, findings: Findings) -> None:
    name, here = metadata.name, place.at("name")
    if not name:
        generated = metadata.generate_name
        findings.refuse(
            here,
            found=f'only generateName "{generated}"' if generated else "nothing",
            allowed="a name: the same config has to give the same workspace each time",
            do=f"write name: {valid_name_like(generated) or 'chat'}" if generated else "add name:",
        )
    elif not is_workspace_name(name):
        similar = valid_name_like(name)
        length = f", {len(name)} characters" if len(name) > MAX_NAME else ""
        findings.refuse(
            here,
            found=f'"{name}"{length}',
            allowed=f"lower-case letters, digits and -, a letter first, no - at the end, at most {MAX_NAME} characters"
            "; stricter than KAITO (DNS-1123, 63 characters), since KubeRay adds to the name",
            do=f"call it {similar}; KAITO would treat that as another Workspace" if similar else "choose a name",
        )


def _check_version(workspace: Workspace, place: Place, findings: Findings) -> None:
    if workspace.api_version != V1ALPHA1:
        return
    if workspace.resource.partition is not None:
        _refuse_in_v1alpha1(place.at("resource", "partition"), findings)
    for parent, field in (("inference", workspace.inference), ("tuning", workspace.tuning)):
        if field is not None and field.preset is not None and field.preset.preset_options.model_access_secret:
            _refuse_in_v1alpha1(place.at(parent, "preset", "presetOptions", "modelAccessSecret"), findings)


def _refuse_in_v1alpha1(place: Place, findings: Findings) -> None:
    field = place.path.rpartition(".")[2]
    findings.refuse(
        place,
        found=f"unknown field {field}",
        allowed=f"fields of {V1ALPHA1}, which has no {field}",
        do="write apiVersion: kaito.sh/v1beta1",
    )


def _warn_of_unread_fields(whole: InferenceSet, place: Place, findings: Findings) -> None:
    if whole.spec.node_count_limit is not None:
        do = "not honoured, and KAITO reads it nowhere; the plan says how many nodes there are"
        findings.warn(place.at("nodeCountLimit"), do)
    if whole.spec.update_strategy is not None:
        do = "not honoured, and KAITO reads it nowhere; new replicas are ready before old ones end"
        findings.warn(place.at("updateStrategy"), do)
    if (whole.spec.auto_upgrade or {}).get("enabled"):
        do = "not honoured: engines are upgraded when pulumi up runs with a newer version of this program"
        findings.warn(place.at("autoUpgrade"), do)
