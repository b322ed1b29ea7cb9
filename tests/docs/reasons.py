"""Every reason that a condition or a failed update can carry, read from the code that gives it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).parents[2]
PACKAGES = ("components/reconciliation", "serving", "tuning")

_CAMEL = re.compile(r"(?:[A-Z]+[a-z]+)+")
"""Capitals may stand together, as in ContainerOOMKilled."""
_FIRST_ARGUMENT = {
    *("ready", "not_ready", "StartupFailure", "WeightsError", "WeightsFailed", "_start_failure"),
    *("TuningError", "DataError", "fail"),
}


def reasons_in_code() -> dict[str, set[str]]:
    """Each reason, with the files that give it."""
    found: dict[str, set[str]] = {}
    for package in PACKAGES:
        for file in sorted((PROJECT / package).rglob("*.py")):
            for reason in _reasons(ast.parse(file.read_text(encoding="utf-8"))):
                found.setdefault(reason, set()).add(str(file.relative_to(PROJECT)))
    return found


def _reasons(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Call():
                yield from _of_call(node)
            case ast.Assign(targets=[ast.Name(id="reason" | "Reason")], value=value):
                yield from _words(value)
            case ast.Return(value=ast.Tuple(elts=[first, *_])):
                yield from _words(first)
            case _:
                pass


def _of_call(call: ast.Call) -> Iterator[str]:
    name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
    if name in _FIRST_ARGUMENT and call.args:
        yield from _words(call.args[0])
    for keyword in call.keywords:
        if keyword.arg == "reason":
            yield from _words(keyword.value)


def _words(expression: ast.expr) -> Iterator[str]:
    """The texts that an expression may give: also those in `a or "B"`, in `"A" if b else c` and in `Literal["A"]`."""
    match expression:
        case ast.Constant(value=str(text)) if _CAMEL.fullmatch(text):
            yield text
        case ast.BoolOp(values=parts) | ast.Tuple(elts=parts):
            for part in parts:
                yield from _words(part)
        case ast.IfExp(body=body, orelse=orelse):
            yield from _words(body)
            yield from _words(orelse)
        case ast.Subscript(slice=inner):
            yield from _words(inner)
        case _:
            pass
