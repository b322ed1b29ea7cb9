"""The stack's config as it stands in the stack's file, for a plan without Pulumi."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import yaml

from components.planning.errors import Problem, SpecError
from components.planning.spec import RawConfig, namespaced, raw_config


def stack_file(stack: str) -> str:
    """The file that a stack's config stands in."""
    return f"Pulumi.{stack}.yaml"


def load_file(folder: Path, stack: str) -> RawConfig:
    """The same from the stack's file. Raises SpecError if it is missing or no YAML."""
    name = stack_file(stack)
    try:
        content: Any = yaml.safe_load((folder / name).read_text(encoding="utf-8"))
    except OSError as wrong:
        raise _unreadable(name, wrong.strerror or str(wrong), "write it, or choose another stack: STACK=dev") from None
    except yaml.YAMLError as wrong:
        raise _unreadable(name, " ".join(str(wrong).split()), "correct the YAML") from None
    config = cast("Mapping[str, Any]", content).get("config") if isinstance(content, Mapping) else None
    return raw_config(namespaced(config if isinstance(config, Mapping) else {}))


def _unreadable(name: str, found: str, do: str) -> SpecError:
    return SpecError([Problem(path=name, found=found, allowed="a stack's file in YAML, with config:", do=do)], name)
