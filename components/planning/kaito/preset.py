"""preset of a Workspace: what it becomes in our config, what is deprecated, and whether a token is needed."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from components.planning.config import PresetSpec
from components.planning.explain import explain
from components.planning.fields import MODELS
from components.planning.kaito.findings import Findings
from components.planning.kaito.schema import Preset
from components.planning.place import Place
from presets.catalog import Models, UnknownPreset


def preset_item(preset: Preset, place: Place, findings: Findings, *, v1alpha1: bool) -> dict[str, Any]:
    """preset of our own form, with warnings about what is deprecated in KAITO."""
    options = preset.preset_options
    if "access_mode" in preset.model_fields_set:
        if preset.access_mode == "private" and not options.image:
            _private_without_image(place, findings, v1alpha1=v1alpha1)
        else:
            findings.warn(place.at("accessMode"), "deprecated in v1beta1, and without effect here")
    if options.image:
        findings.warn(
            place.at("presetOptions", "image"), "deprecated in v1beta1, where weights come from the preset's repository"
        )
    if options.image_pull_secrets:
        findings.warn(place.at("presetOptions", "imagePullSecrets"), "deprecated in v1beta1, as image is")
    given = without_empty(options.model_dump(by_alias=True))
    return {"name": preset.name} | ({"presetOptions": given} if given else {})


def _private_without_image(place: Place, findings: Findings, *, v1alpha1: bool) -> None:
    if v1alpha1:
        findings.refuse(
            place.at("accessMode"),
            found="accessMode: private without presetOptions.image",
            allowed="private with the image that holds the weights",
            do="add presetOptions: {image: REGISTRY/REPOSITORY:TAG}, or remove accessMode",
        )
    else:
        findings.warn(
            place.at("accessMode"),
            "deprecated in v1beta1; private has no effect without presetOptions.image: the weights come from the "
            "preset's repository",
        )


def check_access(preset: Preset, place: Place, findings: Findings, models: Models, *, v1alpha1: bool) -> None:
    """A token that is missing for the preset's weights, or one that they do not need."""
    try:
        known = models.find(preset.name)
    except UnknownPreset:
        return
    secret = preset.preset_options.model_access_secret
    here = place.at("presetOptions", "modelAccessSecret")
    if known.repository.gated and not secret and not v1alpha1:
        findings.refuse(
            here,
            found="nothing",
            allowed=f"the name of a Secret with HF_TOKEN: {known.repository.name} is gated, its weights are downloaded "
            "with the token of an account that accepted its licence",
            do="add presetOptions: {modelAccessSecret: hf-token}, and make the Secret with kubectl create secret",
        )
    elif secret and not known.repository.gated:
        # KAITO refuses a secret only for presets whose weights come as an image, and it has none of those any more.
        findings.warn(here, f"{known.repository.name} is not gated: its weights are downloaded without a token as well")


def preset_problems(item: dict[str, Any], place: Place, findings: Findings, models: Models) -> None:
    """Adds that a preset is unknown, for a workspace which no one will look at further."""
    for parent in ("inference", "tuning"):
        name = item.get(parent, {}).get("preset", {}).get("name")
        if name is not None:
            try:
                PresetSpec.model_validate({"name": name}, context={MODELS: models})
            except ValidationError as error:
                findings.problems += explain(error, PresetSpec, place.at(parent, "preset"), skip=frozenset())


def without_empty(fields: dict[str, Any]) -> dict[str, Any]:
    """Fields with a value; Go writes empty ones as if they were absent."""
    kept = {name: without_empty(value) if name == "source" else value for name, value in fields.items()}
    return {name: value for name, value in kept.items() if value not in ("", [], None)}
