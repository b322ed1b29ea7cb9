"""Adapters that a workspace of the same stack makes: who makes them, and how they are named until they are made.

A plan is decided before anything is tuned, so that a Serve config names such an adapter by who makes it. Where it lies
is put in its place when it is known: in a preview, from the last update; in an update, from the tuning itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from components.planning.config import AdapterDataSource, AdapterSpec, WorkspaceSpec
from components.planning.errors import Problem
from components.planning.place import Place, shown
from components.planning.training_values import section
from presets.nearest import nearest
from presets.tuning_placement import KAITO_RANK

_KIND = "tuning:"


def tuned_source(source: AdapterDataSource) -> str | None:
    """What stands in a Serve config for an adapter that is made by a tuning; None for another one.

    >>> tuned_source(AdapterDataSource(tuning="learn", version="0123456789ab"))
    'tuning:learn@0123456789ab'
    """
    if source.tuning is None:
        return None
    return f"{_KIND}{source.tuning}" + (f"@{source.version}" if source.version else "")


def tunings_in(sources: Sequence[str]) -> list[str]:
    """Names of the tunings that make adapters of a Serve config, given the sources of its adapters.

    >>> tunings_in(["tuning:learn@0123456789ab", "file:/a", "tuning:other"])
    ['learn', 'other']
    """
    return sorted({source.removeprefix(_KIND).partition("@")[0] for source in sources if source.startswith(_KIND)})


def followed(sources: Sequence[str]) -> list[str]:
    """Those of tunings_in of which the version is served that was promoted last.

    >>> followed(["tuning:learn@0123456789ab", "tuning:other"])
    ['other']
    """
    return tunings_in([source for source in sources if "@" not in source])


def resolved(source: str, promoted: Mapping[str, str], versions: Mapping[str, str]) -> str:
    """The source that is served: of `promoted`, by tuning; or in the directory of `versions`, by tuning.

    One that nobody knows yet stays as it is.

    >>> resolved("tuning:learn", {"learn": "file:/a/0123"}, {}), resolved("tuning:learn@45", {}, {"learn": "/a"})
    ('file:/a/0123', 'file:/a/45')
    """
    if not source.startswith(_KIND):
        return source
    name, _, version = source.removeprefix(_KIND).partition("@")
    if version:
        return f"file:{versions[name]}/{version}" if name in versions else source
    return promoted.get(name, source)


def tuned_problems(workspaces: Sequence[WorkspaceSpec], places: Sequence[Place]) -> list[Problem]:
    """Adapters that are said to be made by what does not make them, or not for this model."""
    tunings = {each.name: each for each in workspaces if each.tuning is not None}
    names = {each.name for each in workspaces}
    problems: list[Problem] = []
    for workspace, place in zip(workspaces, places, strict=True):
        inference = workspace.inference
        for index, adapter in enumerate(inference.adapters if inference else []):
            name = adapter.source.tuning
            if name is None or inference is None:
                continue
            here = place.at("inference", "adapters", index, "source", "tuning")
            if name not in tunings:
                problems.append(_unknown(name, name in names, tuple(tunings), here))
            elif inference.preset is not None:
                problems += _unfit(workspace, adapter, tunings[name], here)
    return problems


def _unknown(name: str, serves: bool, tunings: tuple[str, ...], here: Place) -> Problem:
    likely = nearest(name, tunings, limit=1)
    return here.problem(
        found=f"{shown(name)}, which serves a model"
        if serves
        else f"{shown(name)}, which is no workspace of this stack",
        allowed="a workspace with tuning: " + (", ".join(tunings) or "there is none"),
        do=f"write {likely[0]}" if likely else "add such a workspace, or name an image or uri in its place",
    )


def _unfit(workspace: WorkspaceSpec, adapter: AdapterSpec, maker: WorkspaceSpec, here: Place) -> list[Problem]:
    assert workspace.inference is not None
    assert workspace.inference.preset is not None
    assert maker.tuning is not None
    served, tuned = workspace.inference.preset.name, maker.tuning.preset.name
    if served != tuned:
        return [
            here.problem(
                found=f"{maker.name}, which tunes {tuned}",
                allowed=f"an adapter for {served}: it fits no other model",
                do=f"tune {served}, or serve {tuned}",
            )
        ]
    rank = section(maker.tuning, "LoraConfig").get("r", KAITO_RANK)
    if isinstance(rank, int) and rank > adapter.rank:
        return [
            here.problem(
                found=f"{maker.name}, which makes an adapter of rank {rank}",
                allowed=f"a rank of at most {adapter.rank}, for which the plan has room",
                do=f"write rank: {rank} beside source",
            )
        ]
    return []
