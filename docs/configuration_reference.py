"""Writes the tables of docs/configuration.md from the models that check a stack's config, so that they cannot disagree.

`python -m docs.configuration_reference` replaces what stands between the two marks of that page; the rest is written by
hand. tests/docs fails while the page is stale.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from components.planning.cluster_config import KubernetesSpec
from components.planning.config import ApiKeySpec, PricesSpec, RaySpec, Target, WorkspaceSpec
from components.planning.local_rules import context_limit
from components.planning.stand_ins_config import StandInsSpec
from presets.catalog import Preset, catalog
from presets.memory import GIB, stored_bytes

PAGE = Path(__file__).parent / "configuration.md"
BEGIN = "<!-- begin: written by docs/configuration_reference.py -->"
END = "<!-- end: written by docs/configuration_reference.py -->"

_WORDS: dict[object, str] = {str: "text", int: "whole number", float: "number", bool: "true or false", Any: "anything"}


def main() -> int:
    """Rewrite the page where it is stale."""
    before = PAGE.read_text(encoding="utf-8")
    after = renew(before)
    if after != before:
        PAGE.write_text(after, encoding="utf-8")
    sys.stdout.write(f"{PAGE.name}: {'written' if after != before else 'up to date'}\n")
    return 0


def renew(page: str) -> str:
    """The page with fresh tables. Raises ValueError if it lacks one of the marks."""
    above, begin, rest = page.partition(BEGIN)
    _stale, end, below = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{PAGE.name} has no part between {BEGIN} and {END}")
    return "\n\n".join([above + begin, *reference(), end + below])


def reference() -> Iterator[str]:
    """The blocks between the marks: a table for each model, nested as the config is, then the presets."""
    yield "## modelyard:target"
    where = "[`kubernetes`](kubernetes.md) is a cluster that is there. `aks` is planned, and not provisioned yet."
    yield f"One of {_choices(Target)}. Default: `local`. {where}"
    yield from _model(WorkspaceSpec, "modelyard:workspaces[]")
    yield "## modelyard:manifests"
    yield "YAML files or globs, relative to the stack's file: [KAITO's manifests](coming-from-kaito.md), unchanged."
    yield "## modelyard:region"
    yield "Text, default `eastus`: where nodes are made. Prices and the sizes that are offered follow from it."
    yield from _model(ApiKeySpec, "modelyard:apiKeys[]")
    yield from _model(KubernetesSpec, "modelyard:kubernetes")
    yield from _model(PricesSpec, "modelyard:prices")
    yield from _model(RaySpec, "modelyard:ray")
    yield from _model(StandInsSpec, "modelyard:standIns")
    yield "## Presets"
    yield _presets()


def _model(model: type[BaseModel], path: str) -> Iterator[str]:
    yield f"## {path}"
    if model.__doc__ and model.__doc__ != BaseModel.__doc__:
        yield _one_line(model.__doc__)
    rows = [_row(field.alias or name, field, path) for name, field in model.model_fields.items()]
    yield _table(("field", "type", "default", "meaning"), rows)
    for name, field in model.model_fields.items():
        if (inner := _model_in(field)) is not None:
            yield from _model(inner, f"{path}.{field.alias or name}")


def _row(name: str, field: FieldInfo, path: str) -> tuple[str, ...]:
    inner = _model_in(field)
    kind = f"[map](#{_anchor(f'{path}.{name}')})" if inner is not None else _type(field.annotation)
    return f"`{name}`", kind + _bounds(field), _default(field), _meaning(field, inner)


def _meaning(field: FieldInfo, inner: type[BaseModel] | None) -> str:
    """The docstring under the field; else that of the model in it; else the fields of that model."""
    if field.description or inner is None:
        return _one_line(field.description or "")
    return _one_line(inner.__doc__ or "") or ", ".join(f"`{part.alias}`" for part in inner.model_fields.values())


def _type(annotation: object) -> str:
    """An annotation in words; None in a union only says that the field may be left out.

    >>> _type(list[str]), _type(int | None), _type(dict[str, str])
    ('list of text', 'whole number', 'map of text')
    """
    inner = [part for part in get_args(annotation) if part is not type(None)]
    origin = get_origin(annotation)
    if origin is Literal:
        return f"one of {_choices(annotation)}"
    if origin is list:
        return f"list of {_type(inner[0])}"
    if origin is dict:
        return f"map of {_type(inner[1])}"
    if inner:
        return _type(inner[0])
    return _WORDS[annotation]


def _choices(annotation: object) -> str:
    return ", ".join(f"`{value}`" for value in get_args(annotation))


def _bounds(field: FieldInfo) -> str:
    words: list[str] = []
    for bound in _metadata(field):
        match bound:
            case Ge(ge=low):
                words.append(f"{low} or more")
            case Gt(gt=low):
                words.append(f"above {low}")
            case Le(le=high):
                words.append(f"at most {high}")
            case Lt(lt=high):
                words.append(f"below {high}")
            case _:
                pass
    return "".join(f", {word}" for word in words)


def _metadata(field: FieldInfo) -> Iterator[object]:
    """A field's bounds, also those that stand inside a union as in `Annotated[int | None, Field(ge=1)]`."""
    for item in field.metadata:
        yield from item.metadata if isinstance(item, FieldInfo) else [item]


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    default = field.get_default(call_default_factory=True)
    if default is None or isinstance(default, BaseModel):
        return ""
    return f"`{default}`"


def _model_in(field: FieldInfo) -> type[BaseModel] | None:
    parts = [field.annotation, *get_args(field.annotation)]
    return next((part for part in parts if isinstance(part, type) and issubclass(part, BaseModel)), None)


def _presets() -> str:
    rows = [
        (
            f"`{name}`",
            preset.repository.name,
            preset.repository.license,
            f"{stored_bytes(preset) / GIB:.2f}",
            preset.quantization.method if preset.quantization else "16 bits",
            _longest(preset),
            ", ".join(preset.tuning) or "no",
            "yes" if preset.lora_targets else "no",
        )
        for name, preset in catalog().items()
    ]
    heads = ("preset", "repository", "licence", "GiB", "published in", "longest maxContext", "tuning", "adapters")
    return _table(heads, rows)


def _longest(preset: Preset) -> str:
    """Tokens; on target local it may be fewer."""
    here = context_limit(preset)
    return f"{preset.max_context}" if here == preset.max_context else f"{preset.max_context} (local: {here})"


def _table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [heads, ("---",) * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def _anchor(heading: str) -> str:
    """The anchor that GitHub gives to a heading.

    >>> _anchor("modelyard:workspaces[].inference")
    'modelyardworkspacesinference'
    """
    return "".join(letter for letter in heading.lower().replace(" ", "-") if letter.isalnum() or letter in "-_")


def _one_line(text: str) -> str:
    return " ".join(text.split())


if __name__ == "__main__":
    sys.exit(main())
