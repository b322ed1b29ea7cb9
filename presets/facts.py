"""The base of everything that is read from the YAML files of facts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict


class Fact(BaseModel):
    """Read-only, and strict: a misspelt field or a number in quotes is refused where it is read."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def as_tuple(value: object) -> object:
    """For a field that is a tuple: YAML gives lists, and strict models take none."""
    return tuple(value) if isinstance(value, list) else value  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


def read_facts(file: Path) -> Any:  # noqa: ANN401 - whatever the file's model says that it is
    """The content of a file of facts. libyaml's loader where PyYAML was built with it: ten times as fast."""
    return yaml.load(file.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
