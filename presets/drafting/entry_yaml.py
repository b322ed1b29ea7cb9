"""A preset as an entry of models/*.yaml, in the form that people write there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

import yaml
from pydantic import TypeAdapter, ValidationError

from presets.catalog import Preset

_WIDTH = 120

_ENTRIES = TypeAdapter(dict[str, Preset])


def entry(name: str, preset: Preset, comments: Iterable[str] = ()) -> str:
    """YAML that reads back as {name: preset}; `comments` stand above the fields, each on lines of its own."""
    facts = preset.model_dump(mode="json", exclude_defaults=True)
    facts["shape"] = _layers_in_short(cast("dict[str, Any]", facts["shape"]))
    lines = [f"{_scalar(name)}:"]
    for comment in comments:
        lines += _filled(comment.split(), "  # ", "  # ", " ")
    for field, value in facts.items():
        lines += _field(field, value)
    return "\n".join(lines) + "\n"


def read(text: str) -> dict[str, Preset]:
    """Entries as they stand in a file; ValueError says what is wrong with them."""
    try:
        return _ENTRIES.validate_python(yaml.safe_load(text))
    except (ValidationError, yaml.YAMLError) as error:
        raise ValueError(str(error)) from None


def _layers_in_short(shape: dict[str, Any]) -> dict[str, Any]:
    """A number where all layers have full attention and differ in nothing."""
    layers = cast("list[dict[str, Any]]", shape["layers"])
    if len(layers) == 1 and layers[0].keys() == {"kind", "count"} and layers[0]["kind"] == "full":
        shape["layers"] = layers[0]["count"]
    return shape


def _field(name: str, value: object) -> list[str]:
    if isinstance(value, Mapping):
        inner = cast("Mapping[str, object]", value)
        if any(isinstance(item, list) for item in inner.values()):
            return [f"  {name}:", *(line for key, item in inner.items() for line in _nested(key, item))]
        parts = [f"{key}: {_flow(item)}" for key, item in inner.items()]
        return _bracketed(f"  {name}: {{", parts, "}")
    if isinstance(value, list):
        return _bracketed(f"  {name}: [", [_flow(inner) for inner in cast("list[object]", value)], "]")
    return [f"  {name}: {_scalar(value)}"]


def _nested(name: str, value: object) -> list[str]:
    """A field of a map that does not fit in one flow: on one line, or a list with one item a line."""
    line = f"    {name}: {_flow(value)}"
    if isinstance(value, list) and len(line) > _WIDTH:
        return [f"    {name}:", *(line for item in cast("list[object]", value) for line in _item(item))]
    return [line]


def _item(value: object) -> list[str]:
    if isinstance(value, Mapping):
        parts = [f"{key}: {_flow(item)}" for key, item in cast("Mapping[str, object]", value).items()]
        return _bracketed("      - {", parts, "}")
    return [f"      - {_flow(value)}"]


def _flow(value: object) -> str:
    if isinstance(value, Mapping):
        inner = cast("Mapping[str, object]", value).items()
        return "{" + ", ".join(f"{key}: {_flow(item)}" for key, item in inner) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, cast("list[object]", value))) + "]"
    return _scalar(value)


def _bracketed(opening: str, parts: list[str], closing: str) -> list[str]:
    return _filled([*(f"{part}," for part in parts[:-1]), f"{parts[-1]}{closing}"], opening, " " * len(opening), " ")


def _filled(words: list[str], first: str, further: str, gap: str) -> list[str]:
    """Lines of at most _WIDTH characters, unless one word alone is longer."""
    lines, line = list[str](), first
    for word in words:
        if line not in (first, further) and len(line) + len(gap) + len(word) > _WIDTH:
            lines.append(line)
            line = further
        line += (gap if line not in (first, further) else "") + word
    return [*lines, line]


def _scalar(value: object) -> str:
    """As YAML writes it in flow style, quoted where it would not read back as the same."""
    text = yaml.safe_dump([value], default_flow_style=True, width=10_000, allow_unicode=True)
    return text.strip()[1:-1]
