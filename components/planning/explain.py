"""pydantic's errors in the words of the stack's config: where, what was found, what is allowed, what to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from components.planning.errors import Problem
from components.planning.fields import REFUSED, Hint
from components.planning.place import Place, shown
from presets.nearest import nearest

Loc = tuple[int | str, ...]

_EXPECTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a map",
    "model_type": "a map",
}
_BOUNDS = ("greater_than_equal", "greater_than", "less_than_equal", "less_than")


def explain(error: ValidationError, model: type[BaseModel], place: Place, *, skip: frozenset[Loc]) -> list[Problem]:
    """A problem for each error of `model`'s validation at `place`, without fields missing at the places in `skip`."""
    return [
        _explain(details, model, place)
        for details in error.errors(include_url=False)
        if not (details["type"] == "missing" and details["loc"] in skip)
    ]


def _explain(details: ErrorDetails, model: type[BaseModel], place: Place) -> Problem:
    kind, loc, value = details["type"], details["loc"], details["input"]
    here = place.at(*loc)
    context: dict[str, Any] = details.get("ctx", {})
    field = _field_at(model, loc)
    if kind == REFUSED:
        return here.problem(found=context["found"], allowed=context["allowed"], do=context["do"])
    if kind == "extra_forbidden":
        return _unknown_field(here, str(loc[-1]), _model_at(model, loc[:-1]))
    if kind == "missing":
        name = str(loc[-1])
        return here.problem(
            found="nothing", allowed="this field is required", do=f"add {name}: to {place.at(*loc[:-1]).path}"
        )
    if kind == "literal_error" and field is not None:
        return _not_one_of(here, value, _choices(field.annotation))
    if kind in _BOUNDS and field is not None:
        hints = [hint.do for hint in field.metadata if isinstance(hint, Hint)]
        return here.problem(found=shown(value), allowed=_range(field), do=[*hints, "write a number in this range"][0])
    if kind in _EXPECTED:
        return _wrong_type(here, loc, value, kind, _model_at(model, loc))
    return here.problem(found=shown(value), allowed=details["msg"], do="correct the value")


def _unknown_field(here: Place, name: str, model: type[BaseModel] | None) -> Problem:
    known = _aliases(model) if model else []
    likely = nearest(name, known, limit=1)
    return here.problem(
        found=f"unknown field {name}",
        allowed=", ".join(known),
        do=f"did you mean {likely[0]}? Otherwise remove it" if likely else "remove it",
    )


def _not_one_of(here: Place, value: object, choices: list[str]) -> Problem:
    likely = nearest(value, choices, limit=1) if isinstance(value, str) else ()
    return here.problem(
        found=shown(value), allowed=f"one of {', '.join(choices)}", do=f"write {likely[0] if likely else choices[0]}"
    )


def _wrong_type(here: Place, loc: Loc, value: object, kind: str, model: type[BaseModel] | None) -> Problem:
    name = str(loc[-1]) if loc else ""
    expected = _EXPECTED[kind]
    allowed = f"{expected} with {', '.join(_aliases(model))}" if model else expected
    return here.problem(found=shown(value), allowed=allowed, do=_yaml_hint(name, value, expected))


def _yaml_hint(name: str, value: object, expected: str) -> str:
    match expected, value:
        case _, None:
            return "fill it in, or remove it"
        case "true or false", str() if value.lower() in ("true", "false"):
            return f"remove the quotes: {name}: {value.lower()}"
        case "text", bool():
            return "YAML reads true, false, yes, no, on and off as booleans: put the text in quotes"
        case "text", int() | float():
            return f'put it in quotes: {name}: "{value}"'
        case (("a whole number" | "a number"), str()) if _is_number(value):
            return f"remove the quotes: {name}: {value}"
        case "a whole number", float() if value.is_integer():
            return f"write {int(value)}"
        case "a list", Mapping():
            return 'begin each item of the list with "- "'
        case "a list", _:
            return f"write it as a list: {name}: [{value}]"
        case "a map", list():
            return 'write its fields without "- " in front'
        case _:
            return f"write {expected}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _range(field: FieldInfo) -> str:
    kind = "a whole number" if int in _leaves(field.annotation) else "a number"
    words: list[str] = []
    for bound in field.metadata:
        match bound:
            case Ge(ge=low):
                words.append(f"of at least {low}")
            case Gt(gt=low):
                words.append(f"above {low}")
            case Le(le=high):
                words.append(f"at most {high}")
            case Lt(lt=high):
                words.append(f"below {high}")
            case _:
                pass
    return f"{kind} {', '.join(words)}"


def _aliases(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _field_at(model: type[BaseModel], loc: Loc) -> FieldInfo | None:
    loc = tuple(step for step in loc if isinstance(step, str))  # an item of a list is described where the list is
    parent = _model_at(model, loc[:-1])
    if parent is None or not loc:
        return None
    return next((field for name, field in parent.model_fields.items() if (field.alias or name) == loc[-1]), None)


def _model_at(model: type[BaseModel], loc: Loc) -> type[BaseModel] | None:
    """The model that describes the place `loc` below `model`; None if that place has a plain value."""
    if not any(isinstance(step, str) for step in loc):
        return model
    field = _field_at(model, loc)
    if field is None:
        return None
    return next(
        (leaf for leaf in _leaves(field.annotation) if isinstance(leaf, type) and issubclass(leaf, BaseModel)), None
    )


def _choices(annotation: object) -> list[str]:
    return [leaf for leaf in _leaves(annotation) if isinstance(leaf, str)]


def _leaves(annotation: object) -> Iterator[object]:
    """The types and literal values that an annotation is made of, however deep they stand in unions."""
    arguments = get_args(annotation)
    if not arguments:
        yield annotation
    for argument in arguments:
        yield from _leaves(argument)
