"""A team's own prices: the file that gives them, checked.

currency: USD                      # ISO 4217; prices of the catalogue are in USD
date: 2026-10-01                   # optional: when they were agreed
regionFactor: 1.08                 # optional, in USD only: what list prices are multiplied by, where none is below
sizes:
  Standard_NC24ads_A100_v4: 2.9    # an hour of one node
  Standard_NC40ads_H100_v5: {list: 6.1, spot: 2.4}
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from typing import NamedTuple, cast

from pydantic import Field

from presets.facts import Fact
from presets.nearest import nearest
from presets.node_sizes import UnknownNodeSize, find_node_size

_FIELDS = ("currency", "date", "regionFactor", "sizes")
_KINDS = ("list", "spot")
LIST_CURRENCY = "USD"
"""Of the catalogue's prices, which a factor multiplies."""

MOST_FACTOR = 100
MOST_PRICE = 100_000
"""An hour of one node. The dearest of the catalogue costs less than 200; sums of more would say nothing."""

_LONGEST_SHOWN = 80


class SizePrice(Fact):
    """Of one node an hour; None where a price is not known."""

    list: float | None = Field(default=None, gt=0)
    spot: float | None = Field(default=None, gt=0)


class OwnPrices(Fact):
    currency: str
    """ISO 4217, such as EUR."""
    date: str = ""
    region_factor: float | None = None
    sizes: dict[str, SizePrice] = Field(default_factory=dict[str, SizePrice])
    """By the name of the size in the catalogue."""


class PriceProblem(NamedTuple):
    """One thing that is wrong in a file of prices."""

    path: str
    """Of the field, such as sizes.Standard_NC24ads_A100_v4.spot; empty if the file is wrong as a whole."""
    found: str
    allowed: str
    do: str


class PriceFileError(ValueError):
    """A file of prices that cannot be used. `problems`: everything that is wrong with it, in the file's order."""

    def __init__(self, file: str, problems: list[PriceProblem]) -> None:
        self.problems = problems
        lines = (f"{file}: {p.path}: found {p.found}, allowed: {p.allowed}; {p.do}" for p in problems)
        super().__init__("\n".join(lines).replace(": : ", ": "))


def read_own_prices(content: object, file: str) -> OwnPrices:
    """The content of a file of prices, as YAML gives it. Raises PriceFileError, which calls it `file`."""
    problems: list[PriceProblem] = []
    fields = _mapping(content, "", "fields currency, date, regionFactor and sizes", problems)
    if problems:
        raise PriceFileError(file, problems)
    problems += [_unknown(key, key, _FIELDS) for key in fields if key not in _FIELDS]
    prices = _read(fields, problems)
    if problems:
        raise PriceFileError(file, problems)
    return OwnPrices.model_validate(prices)


def _read(fields: Mapping[str, object], problems: list[PriceProblem]) -> dict[str, object]:
    currency, date, factor = fields.get("currency"), fields.get("date", ""), fields.get("regionFactor")
    if not (isinstance(currency, str) and re.fullmatch("[A-Z]{3}", currency)):
        do = "write currency: EUR, or USD if the prices are in US dollars"
        problems.append(PriceProblem("currency", _shown(currency), "three capital letters (ISO 4217)", do))
    if isinstance(date, datetime.date):
        date = date.isoformat()
    if not isinstance(date, str):
        problems.append(PriceProblem("date", _shown(date), "a date", "write date: 2026-10-01, or leave it out"))
    if isinstance(date, str) and re.fullmatch(r"\d+-\d+-\d+", date) and not _is_date(date):
        problems.append(PriceProblem("date", _shown(date), "a date", "write date: 2026-10-01, or leave it out"))
    if factor is not None:
        do = "write 1.08 for 8 % above the list, or leave it out"
        factor = _positive(factor, "regionFactor", do, problems, most=MOST_FACTOR)
        if factor is not None and isinstance(currency, str) and currency != LIST_CURRENCY:
            problems.append(factor_problem("regionFactor", f"{factor:g}", currency))
    raw = fields.get("sizes")
    sizes = _mapping({} if raw is None else raw, "sizes", "names of sizes with their prices", problems)
    return {"currency": currency, "date": date, "region_factor": factor, "sizes": _sizes(sizes, problems)}


def factor_problem(path: str, found: str, currency: str) -> PriceProblem:
    """Of a factor beside prices in another currency than the list's, which it would never multiply."""
    allowed = f"a factor of list prices, which are in {LIST_CURRENCY}, beside currency: {LIST_CURRENCY}"
    return PriceProblem(path, f"{found} beside currency: {currency}", allowed, "remove it, and give prices below sizes")


def _is_date(text: str) -> bool:
    try:
        datetime.date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _sizes(sizes: Mapping[str, object], problems: list[PriceProblem]) -> dict[str, SizePrice]:
    prices: dict[str, SizePrice] = {}
    for name, raw in sizes.items():
        path = f"sizes.{name}"
        try:
            known = find_node_size(name).name
        except UnknownNodeSize as error:
            problems.append(_unknown(path, name, error.nearest, "a node size of the catalogue"))
            continue
        if known in prices:
            problems.append(PriceProblem(path, f"a second price of {known}", "one price a size", "keep one of them"))
        prices[known] = _size_price(raw, path, problems)
    return prices


def _size_price(raw: object, path: str, problems: list[PriceProblem]) -> SizePrice:
    if not isinstance(raw, Mapping):
        return SizePrice(list=_positive(raw, path, "write the price of one node an hour", problems))
    kinds = _mapping(cast("object", raw), path, "list, spot or both", problems)
    problems += [_unknown(f"{path}.{key}", key, _KINDS) for key in kinds if key not in _KINDS]
    if not kinds:
        do = "write {list: 3.2}, {list: 3.2, spot: 1.1}, or leave the size out"
        problems.append(PriceProblem(path, "no price", "list, spot or both", do))
    do = "write the price of one node an hour"
    found = {key: _positive(kinds[key], f"{path}.{key}", do, problems) for key in _KINDS if key in kinds}
    return SizePrice(list=found.get("list"), spot=found.get("spot"))


def _positive(
    raw: object, path: str, do: str, problems: list[PriceProblem], *, most: float = MOST_PRICE
) -> float | None:
    # NaN is not above 0 either.
    if isinstance(raw, int | float) and not isinstance(raw, bool) and 0 < raw <= most:
        return float(raw)
    problems.append(PriceProblem(path, _shown(raw), f"a number above 0, at most {most:g}", do))
    return None


def _mapping(raw: object, path: str, allowed: str, problems: list[PriceProblem]) -> Mapping[str, object]:
    """The mapping, its keys as text; empty, with a problem, if it is something else."""
    if isinstance(raw, Mapping):
        return {str(key): value for key, value in cast("Mapping[object, object]", raw).items()}
    problems.append(PriceProblem(path, _shown(raw), allowed, "write one a line, with a colon behind its name"))
    return {}


def _unknown(path: str, name: str, known: tuple[str, ...], allowed: str = "") -> PriceProblem:
    likely = nearest(name, known, limit=1)
    do = f"write {likely[0]}" if likely else "take it out"
    named = f"{allowed}; nearest: {', '.join(known)}" if allowed and known else allowed
    return PriceProblem(path, name, named or f"one of {', '.join(known)}", do)


def _shown(raw: object) -> str:
    if raw is None:
        return "nothing"
    try:
        text = repr(raw)
    except (ValueError, RecursionError):
        return "a number or a structure without end"
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 3]}..."
