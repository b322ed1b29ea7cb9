"""YAML that people write, read strictly: no key twice, nothing that contains itself, no Python error from within."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any, cast

import yaml

MAX_DEPTH = 100
"""Levels of maps and lists. What is deeper was not written by a person, or contains itself."""

MAX_VALUES = 1_000_000
"""Of one document, what aliases stand for counted each time: a few short lines can mean billions."""

MAX_BITS = 1024
"""Of a whole number. Python refuses to print longer ones, above 4300 digits."""

_MERGE = "tag:yaml.org,2002:merge"


class YamlError(ValueError):
    """A text that cannot be read. str() says what was found; `line` counts from 1, None where no line is to blame."""

    def __init__(self, found: str, *, do: str, line: int | None = None) -> None:
        super().__init__(found)
        self.do = do
        self.line = line


class _Loader(yaml.SafeLoader):
    """Reads what kubectl and Pulumi read: dates stay text, and a key that stands twice in a map is refused."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - the parent's attribute, replaced and never changed
        letter: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:  # noqa: ANN401 - as PyYAML declares it
        """Here and not where maps are made of nodes: by then keys of other maps were merged in."""
        node = super().compose_mapping_node(anchor)
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if key.tag == _MERGE or not isinstance(key, yaml.ScalarNode):
                continue
            name, line = str(key.value), key.start_mark.line + 1
            if name in lines:
                problem = f"the key {name} stands twice in one map, it is already defined at line {lines[name]}"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            lines[name] = line
        return node


def read_yaml(text: str) -> object:
    """The value of a text with one document, None if it is empty. Raises YamlError."""
    try:
        return _copied(yaml.load(text, Loader=_Loader), 0, count())
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        do = "correct this line, or the one before it"
        raise YamlError(error.problem or "no YAML", do=do, line=line) from None
    except yaml.YAMLError as error:
        raise YamlError(str(error).splitlines()[0], do="write the file again as UTF-8 text") from None
    except RecursionError:
        raise _too_deep() from None
    except (ValueError, KeyError, AttributeError) as error:
        if isinstance(error, YamlError):
            raise
        # What PyYAML lets through from a scalar that does not fit its tag: !!int x, !!bool x, a number without end.
        raise YamlError("a number or a date that cannot be read", do="put the value in quotes, or correct it") from None


def _copied(value: object, depth: int, number: Iterator[int]) -> object:
    """The value with everything that aliases stand for written out, so that no one who walks it needs a limit."""
    if depth > MAX_DEPTH:
        raise _too_deep()
    if next(number) > MAX_VALUES:
        raise YamlError(
            f"more than {MAX_VALUES} values", do="write out what the aliases (*) stand for, or take them out"
        )
    match value:
        case Mapping():
            items = cast("Mapping[object, object]", value).items()
            return {key: _copied(item, depth + 1, number) for key, item in items}
        case list():
            return [_copied(item, depth + 1, number) for item in cast("list[object]", value)]
        case int() if value.bit_length() > MAX_BITS:
            raise YamlError("a number of more than 300 digits", do="correct it, or put it in quotes")
        case _:
            return value


def _too_deep() -> YamlError:
    return YamlError(
        f"maps and lists nested too deeply, more than {MAX_DEPTH} levels deep",
        do="take levels out, or the alias (*) that leads back to its own anchor (&)",
    )
