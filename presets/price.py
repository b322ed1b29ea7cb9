"""What nodes cost an hour: list prices of the catalogue, and a team's own prices, which win over them."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import Field

from presets.facts import Fact, read_facts
from presets.node_sizes import GPUS, NodeSize
from presets.own_prices import (
    LIST_CURRENCY,
    OwnPrices,
    PriceFileError,
    PriceProblem,
    SizePrice,
    factor_problem,
    read_own_prices,
)

__all__ = ["HOURS_PER_MONTH", "Price", "PriceFileError", "PriceProblem", "Prices", "known_regions", "list_prices"]

HOURS_PER_MONTH = 730
"""Hours that a month of the price calculators of Azure and AWS has: 365 days of 24 hours, divided by 12."""

BASE_REGION = "eastus"
"""Whose list prices stand for those of regions that the catalogue does not have."""


@dataclass(frozen=True)
class Price:
    """Of one node."""

    per_hour: float
    """In the currency of the Prices that it is from."""
    origin: str
    """Where it is from, in a few words: "list price, eastus, 2024-08"."""


class _Catalog(Fact):
    """gpus/azure_prices.yaml."""

    currency: str
    date: str
    source: str
    regions: dict[str, dict[str, SizePrice]] = Field(min_length=1)


@dataclass(frozen=True)
class Prices:
    """Prices of one region in one currency."""

    currency: str
    region: str
    factor: float | None = field(default=None, repr=False)
    """What list prices are multiplied by; None: nothing."""
    _own: OwnPrices | None = field(default=None, repr=False)
    _own_name: str = field(default="", repr=False)

    def of(self, node: NodeSize, *, spot: bool = False) -> Price | None:
        """What a node costs an hour; None if no price is known.

        The team's own price wins; where it gives one kind only, list or spot, the other is the list's, if that is in
        the same currency. Where a spot price is asked for and not known, or above the full price, it is the full
        price; its origin says so. Existing nodes have a price only if the team gives one for their name.
        """
        own = self._own.sizes.get(node.size_name, SizePrice()) if self._own else SizePrice()
        date = f", {self._own.date}" if self._own and self._own.date else ""
        found = _price(own, 1, spot, own=f"{self._own_name}{date}")
        if found is not None and not (spot and own.spot is None):
            return found
        if node.existing or self.currency != LIST_CURRENCY:
            return found
        listed = self._listed(node, spot, spot_only=found is not None)
        known = [price for price in (found, listed) if price is not None]
        return min(known, key=lambda price: price.per_hour, default=None)

    def offered(self, node: NodeSize) -> bool | None:
        """Whether the region has this size. None if the catalogue does not say: it lacks the region or the size."""
        regions = _catalog().regions
        if (
            node.existing
            or self.region not in regions
            or not any(node.size_name in sizes for sizes in regions.values())
        ):
            return None
        return node.size_name in regions[self.region]

    def _listed(self, node: NodeSize, spot: bool, *, spot_only: bool) -> Price | None:
        """spot_only: the full price of the list does not count, since the team gives its own."""
        catalog = _catalog()
        for region in dict.fromkeys((self.region, BASE_REGION, *catalog.regions)):
            price = catalog.regions.get(region, {}).get(node.size_name, SizePrice())
            if price.list is not None:
                where = f", {region}" if region == self.region else f" of {region}"
                by = "" if self.factor is None else f" x {self.factor:g}"
                known = SizePrice(spot=price.spot) if spot_only else price
                return _price(known, self.factor or 1, spot, suffix=f"{where}, {catalog.date}{by}")
        return None


def list_prices(
    region: str = BASE_REGION,
    *,
    factor: float | None = None,
    own: Mapping[str, object] | None = None,
    own_name: str = "prices.yaml",
) -> Prices:
    """Prices of an Azure region.

    A size that the catalogue lacks in this region has the price of eastus, or of the first region that has one.
    `factor` multiplies list prices, those of a team's own file never; it is given here or in the file, not in both.
    `own`: that file, parsed. A size that it lacks has its list price if the file's currency is US dollars, otherwise
    none, since a rate of exchange would be guessed. Raises PriceFileError with everything that is wrong in it, and
    ValueError if `factor` is not above 0.
    """
    if factor is not None and not 0 < factor < float("inf"):
        raise ValueError(f"a factor of {factor} makes no price; it must be a number above 0")
    region = region.lower().replace(" ", "")
    if own is None:
        return Prices(currency=LIST_CURRENCY, region=region, factor=factor)
    prices = read_own_prices(own, own_name)
    if factor is not None and (problem := _second_factor(factor, prices)):
        raise PriceFileError(own_name, [problem])
    return Prices(prices.currency, region, prices.region_factor if factor is None else factor, prices, own_name)


def _second_factor(factor: float, prices: OwnPrices) -> PriceProblem | None:
    """What is wrong with a factor that is given beside a file."""
    given = f"a regionFactor of {factor:g} in the config"
    if prices.currency != LIST_CURRENCY:
        return factor_problem("currency", given, prices.currency)
    if prices.region_factor is not None:
        found = f"{prices.region_factor:g}, and {given}"
        return PriceProblem("regionFactor", found, "one factor of list prices", "remove one of them")
    return None


def known_regions() -> tuple[str, ...]:
    """The regions that the price list has, by name. Of any other nobody knows prices and which sizes it offers."""
    return tuple(sorted(_catalog().regions))


def _price(price: SizePrice, factor: float, spot: bool, *, own: str = "", suffix: str = "") -> Price | None:
    """Of what is known of a size, its price as asked for; `own` or the kind of price and `suffix` say its origin."""
    if spot and price.spot is not None:
        return Price(price.spot * factor, own or f"spot price{suffix}")
    if price.list is None:
        return None
    note = ", no spot price known" if spot else ""
    return Price(price.list * factor, f"{own or f'list price{suffix}'}{note}")


@functools.cache
def _catalog() -> _Catalog:
    return _Catalog.model_validate(read_facts(GPUS / "azure_prices.yaml"))
