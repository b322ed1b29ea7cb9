"""Rules for a workspace that makes an adapter: its data, its output and its nodes. One set for the stack config and for
KAITO's manifests; they are KAITO's (api/v1beta1/workspace_validation.go)."""

from __future__ import annotations

from collections.abc import Collection

from components.planning.config import DataDestination, DataSource, ResourceSpec, TuningDataSource, TuningSpec
from components.planning.data_urls import url_problems
from components.planning.errors import Problem
from components.planning.image_reference import image_problems
from components.planning.one_of import one_of_problems
from components.planning.place import Place, shown
from components.planning.tuning_config import section_problems
from presets.weights_source import parse_weights_source


def tuning_problems(tuning: TuningSpec, place: Place) -> list[Problem]:
    """What is wrong with a tuning, whose fields stand at `place`."""
    return [
        *section_problems(tuning.config, method=tuning.method, place=place.at("config")),
        *input_problems(tuning.input, place.at("input")),
        *(output_problems(tuning.output, place.at("output")) if tuning.output else ()),
    ]


def tuning_resource_problems(resource: ResourceSpec, place: Place) -> list[Problem]:
    """What a tuning may not ask of its nodes. `place` is where the workspace's resource stands."""
    problems: list[Problem] = []
    if resource.count is not None and resource.count > 1:
        problems.append(
            place.at("count").problem(
                found=f"{resource.count} nodes",
                allowed="1: tuning does not run on several nodes, here as in KAITO",
                do="write 1, and choose a node size with more GPUs if it has to be faster",
            )
        )
    if resource.partition is not None:
        problems.append(
            place.at("partition").problem(
                found=f"partition, mode {resource.partition.mode}",
                allowed="whole GPUs: partitions are for inference only, here as in KAITO",
                do="remove partition",
            )
        )
    return problems


def input_problems(source: DataSource, place: Place, allowed_hosts: Collection[str] = ()) -> list[Problem]:
    """What is wrong with the training data's source. allowed_hosts: those that the source itself does not name."""
    fields: dict[str, object] = {"urls": source.urls, "image": source.image, "volumeSource": source.volume_source}
    dataset = source.dataset if isinstance(source, TuningDataSource) else None
    if isinstance(source, TuningDataSource):
        fields["dataset"] = dataset
        allowed_hosts = source.allowed_hosts
    problems = one_of_problems(fields, place)
    for index, url in enumerate(source.urls or []):
        problems += url_problems(url, place.at("urls", index), allowed_hosts)
    return problems + image_problems(source.image, place) + _dataset_problems(dataset, place.at("dataset"))


def _dataset_problems(dataset: str | None, place: Place) -> list[Problem]:
    if not dataset:
        return []
    kind, _, path = dataset.partition("#")[0].partition(":")
    if kind == "file" and path and ".." not in path.split("/"):
        return []
    try:
        if parse_weights_source(dataset.partition("#")[0]).kind == "hf":
            return []
    except ValueError:
        pass
    do = "write it so, or name files by urls"
    return [place.problem(found=shown(dataset), allowed="hf:ORG/NAME[@REVISION] or file:PATH without ..", do=do)]


def output_problems(destination: DataDestination, place: Place) -> list[Problem]:
    """What is wrong with the place that the adapter goes to."""
    problems = one_of_problems({"image": destination.image, "volumeSource": destination.volume_source}, place)
    problems += image_problems(destination.image, place)
    if destination.image and not destination.image_push_secret:
        problems.append(
            place.at("imagePushSecret").problem(
                found="nothing",
                allowed="the name of a Secret with the registry's credentials, required with image",
                do="add imagePushSecret:, a Secret of type kubernetes.io/dockerconfigjson",
            )
        )
    return problems
