"""Every preset on every node size, as a text that people can look over."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from presets.catalog import Preset, catalog
from presets.memory import gib, stored_bytes
from presets.node_sizes import node_sizes
from presets.placement import Demand, Misfit, Placement, place
from presets.price import Price, list_prices

HEADER = """\
What place() answers for every preset on every node size where nothing is asked for but the preset.
Written by `make examples`; not to be edited. US$/h: list prices of eastus, of all nodes; -: no price is known.
GiB: needed on the fullest GPU, of those that may be planned for; what is left keeps room for adapters, too.
Sizes by price; those that do not fit at the end.
"""

COLUMNS = ("size", "US$/h", "nodes", "split", "replicas", "engine", "dtype", "context x sequences", "GiB")


def render() -> str:
    """The whole table. The same on every machine: it follows from the facts in presets/ alone."""
    return "\n".join([HEADER, *(line for name, preset in catalog().items() for line in _block(name, preset))])


def _block(name: str, preset: Preset) -> Iterator[str]:
    known = f"; also {', '.join(preset.aliases)}" if preset.aliases else ""
    yield f"{name}: {preset.repository.name}, {gib(stored_bytes(preset))} GiB, {preset.max_context:,} tokens{known}"
    placed = [place(Demand(preset=preset), node, list_prices().of(node)) for node in node_sizes().values()]
    fits = sorted((each for each in placed if isinstance(each, Placement)), key=_fit_order)
    misfits = sorted((each for each in placed if isinstance(each, Misfit)), key=_misfit_order)
    if fits:
        yield _line(COLUMNS)
    yield from (_line(_fit(each)) for each in fits)
    yield from (f"  {_short(each.node.name):<19}{_reason(each)}" for each in misfits)
    yield ""


def _fit(placed: Placement) -> tuple[str, ...]:
    return (
        _short(placed.node.name),
        "-" if placed.per_hour is None else f"{placed.per_hour:.2f}",
        str(placed.nodes),
        str(placed.split),
        str(placed.replicas),
        placed.load.engine,
        placed.load.dtype,
        f"{placed.load.context:,} x {placed.load.sequences}",
        f"{gib(placed.need.total)} of {gib(placed.room)}",
    )


def _reason(misfit: Misfit) -> str:
    return f"no: {textwrap.shorten(misfit.reason, 160, placeholder=' ...')}"


def _line(cells: tuple[str, ...]) -> str:
    size, price, nodes, split, replicas, engine, dtype, load, memory = cells
    return f"  {size:<18}{price:>8}{nodes:>7}  {split:<22}{replicas:>8}  {engine:<13}{dtype:<10}{load:>19}{memory:>15}"


def _fit_order(placed: Placement) -> tuple[float, int, str]:
    return float("inf") if placed.per_hour is None else placed.per_hour, placed.nodes, placed.node.name


def _misfit_order(misfit: Misfit) -> tuple[float, str]:
    return _per_hour(misfit.price), misfit.node.name


def _per_hour(price: Price | None) -> float:
    return float("inf") if price is None else price.per_hour


def _short(size: str) -> str:
    return size.removeprefix("Standard_")
