"""Money as people read it, in the currency of the prices: US dollars unless a price file says otherwise."""

from __future__ import annotations

from presets.price import HOURS_PER_MONTH

_SYMBOLS = {"USD": "US$", "EUR": "€", "GBP": "£"}


def symbol(currency: str) -> str:
    """Of a currency, or its code where it has none of its own.

    >>> symbol("USD"), symbol("CHF")
    ('US$', 'CHF')
    """
    return _SYMBOLS.get(currency, currency)


def amount(value: float | None, currency: str = "USD") -> str:
    """A sum, or "unknown".

    >>> amount(1234.5), amount(None), amount(3, "CHF")
    ('US$ 1,234.50', 'unknown', 'CHF 3.00')
    """
    if value is None:
        return "unknown"
    return f"{symbol(currency)} {value:,.2f}"


def per_hour(value: float | None, currency: str = "USD") -> str:
    """A price for an hour.

    >>> per_hour(3.673), per_hour(None)
    ('US$ 3.67/h', 'price unknown')
    """
    return "price unknown" if value is None else f"{amount(value, currency)}/h"


def month(hourly: float | None) -> float | None:
    """What an hourly price makes in a month."""
    return None if hourly is None else hourly * HOURS_PER_MONTH
