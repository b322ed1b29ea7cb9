"""What nodes cost: list prices, and a team's own."""

from __future__ import annotations

import datetime
import re

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from presets.node_labels import node_from_labels
from presets.node_sizes import GPUS, NodeSize, find_node_size, node_sizes, with_gpus, with_mig
from presets.price import HOURS_PER_MONTH, Price, PriceFileError, list_prices

A100, H100, H200 = "Standard_NC24ads_A100_v4", "Standard_NC40ads_H100_v5", "Standard_ND96isr_H200_v5"
REGIONS: dict[str, dict[str, dict[str, float]]] = yaml.safe_load((GPUS / "azure_prices.yaml").read_text())["regions"]


def existing(name: str) -> NodeSize:
    labels = {"product": "NVIDIA-A100-80GB-PCIe", "count": "1", "memory": "81920"}
    return node_from_labels({f"nvidia.com/gpu.{key}": value for key, value in labels.items()}, name)


@pytest.mark.parametrize("region", REGIONS)
def test_list_prices_are_above_zero_and_spot_below_them(region: str) -> None:
    prices = list_prices(region)
    for name in REGIONS[region]:
        node = find_node_size(name)
        full, spot = prices.of(node), prices.of(node, spot=True)
        assert node.name == name, "a price under an alias is not found"
        assert prices.offered(node) is True
        if full:
            assert spot is not None
            assert 0 < spot.per_hour <= full.per_hour < 200
            assert (spot.per_hour < full.per_hour) == spot.origin.startswith("spot price")


def test_every_size_has_a_list_price_but_those_that_no_source_gives_one_for() -> None:
    without = {name for name, size in node_sizes().items() if list_prices().of(size) is None}
    assert without == {H200, "Standard_NG32adms_V620_v1"}


@pytest.mark.parametrize(
    ("name", "per_hour"),
    [(A100, 3.673), ("Standard_NC6s_v3", 3.06), ("Standard_NV36ads_A10_v5", 3.2), ("Standard_ND96isr_H100_v5", 98.32)],
)
def test_the_price_of_a_node_in_eastus_says_where_and_when_it_is_from(name: str, per_hour: float) -> None:
    prices = list_prices()
    assert (prices.currency, prices.region) == ("USD", "eastus")
    assert prices.of(find_node_size(name)) == Price(per_hour, "list price, eastus, 2024-08")


def test_a_spot_price_is_told_from_a_full_price_in_its_place() -> None:
    prices = list_prices()
    assert prices.of(find_node_size(A100), spot=True) == Price(0.444433, "spot price, eastus, 2024-08")
    assert prices.of(find_node_size(H100), spot=True) == Price(6.98, "list price, eastus, 2024-08, no spot price known")


def test_a_region_is_meant_in_any_spelling() -> None:
    assert list_prices("West US 3").of(find_node_size(A100)) == list_prices("westus3").of(find_node_size(A100))


def test_a_region_that_is_not_in_the_catalogue_has_the_prices_of_eastus_times_a_factor() -> None:
    plain, dearer = list_prices("westeurope"), list_prices("westeurope", factor=1.1)
    assert plain.of(find_node_size(A100)) == Price(3.673, "list price of eastus, 2024-08")
    price = dearer.of(find_node_size(A100))
    assert price is not None
    assert price.per_hour == pytest.approx(3.673 * 1.1)
    assert price.origin == "list price of eastus, 2024-08 x 1.1"


def test_a_size_that_one_region_has_only_keeps_its_price_with_that_region_named() -> None:
    confidential = find_node_size("Standard_NCC40ads_H100_v5")
    assert list_prices("eastus").of(confidential) == Price(6.98, "list price of eastus2, 2024-08")


@pytest.mark.parametrize("factor", [0, -1, float("nan"), float("inf")])
def test_a_factor_that_makes_no_price_is_refused(factor: float) -> None:
    with pytest.raises(ValueError, match="must be a number above 0"):
        list_prices("westeurope", factor=factor)


@pytest.mark.parametrize(
    ("region", "name", "offered"),
    [
        ("eastus", A100, True),
        ("eastus2", "Standard_NG32adms_V620_v1", True),
        ("westus2", H100, False),
        ("westeurope", A100, None),
        ("eastus", H200, None),
    ],
)
def test_whether_a_region_has_a_size_is_said_where_the_catalogue_knows(
    region: str, name: str, offered: bool | None
) -> None:
    assert list_prices(region).offered(find_node_size(name)) is offered


def test_part_of_a_node_costs_what_the_node_costs() -> None:
    node = find_node_size("Standard_NC96ads_A100_v4")
    for part in (with_gpus(node, 1), with_mig(node, "1g.10gb")):
        assert list_prices().of(part) == list_prices().of(node)
        assert list_prices().offered(part) is True


def test_existing_nodes_cost_nothing_more_unless_the_team_gives_their_price() -> None:
    node = existing(A100)
    assert list_prices().of(node) is None
    assert list_prices().offered(node) is None
    own = list_prices(own={"currency": "USD", "sizes": {A100: 1.5}})
    assert own.of(node) == Price(1.5, "prices.yaml")
    assert own.of(existing("gpu-1")) is None


def test_a_teams_own_price_wins_and_others_are_list_prices() -> None:
    own = {"currency": "USD", "date": datetime.date(2026, 10, 1), "sizes": {A100: 2.9}, "regionFactor": 1.08}
    prices = list_prices("westeurope", own=own, own_name="ours.yaml")
    assert prices.of(find_node_size(A100)) == Price(2.9, "ours.yaml, 2026-10-01"), "its own price was multiplied"
    other = prices.of(find_node_size(H100))
    assert other is not None
    assert (other.per_hour, other.origin) == (pytest.approx(6.98 * 1.08), "list price of eastus, 2024-08 x 1.08")


def test_a_factor_in_two_places_is_refused() -> None:
    own = {"currency": "USD", "regionFactor": 1.08}
    with pytest.raises(PriceFileError, match="one factor of list prices"):
        list_prices("westeurope", factor=2, own=own)


def test_own_prices_in_another_currency_are_never_mixed_with_list_prices() -> None:
    prices = list_prices(own={"currency": "EUR", "sizes": {A100: {"list": 3, "spot": 1}}})
    assert prices.currency == "EUR"
    assert prices.of(find_node_size(A100)) == Price(3, "prices.yaml")
    assert prices.of(find_node_size(A100), spot=True) == Price(1, "prices.yaml")
    assert prices.of(find_node_size(H100)) is None


def test_what_an_entry_does_not_say_is_the_list_s_price() -> None:
    size, catalogue = find_node_size(A100), list_prices()
    full = list_prices(own={"currency": "USD", "sizes": {A100: 2.9}})
    assert full.of(size) == Price(2.9, "prices.yaml")
    assert full.of(size, spot=True) == catalogue.of(size, spot=True)
    spot = list_prices(own={"currency": "USD", "sizes": {A100: {"spot": 1}}})
    assert spot.of(size, spot=True) == Price(1, "prices.yaml")
    assert spot.of(size) == catalogue.of(size)


def test_a_spot_node_without_a_spot_price_anywhere_costs_the_teams_full_price() -> None:
    prices = list_prices(own={"currency": "USD", "sizes": {H100: 9.9}})
    assert prices.of(find_node_size(H100), spot=True) == Price(9.9, "prices.yaml, no spot price known")


def test_own_prices_are_found_by_an_alias_and_in_any_case() -> None:
    prices = list_prices(own={"currency": "USD", "sizes": {"standard_nd96asr_a100_v4": 20}})
    assert prices.of(find_node_size("Standard_ND96asr_v4")) == Price(20, "prices.yaml")


@pytest.mark.parametrize(
    ("content", "path", "found", "said"),
    [
        ({}, "currency", "nothing", "write currency: EUR"),
        ({"currency": "euro"}, "currency", "'euro'", "three capital letters"),
        ({"currency": "USD", "date": 2026}, "date", "2026", "write date: 2026-10-01"),
        ({"currency": "USD", "regionFactor": 0}, "regionFactor", "0", "a number above 0"),
        ({"currency": "USD", "regionFactor": "8%"}, "regionFactor", "'8%'", "write 1.08"),
        ({"currency": "USD", "regionfactor": 1.1}, "regionfactor", "regionfactor", "write regionFactor"),
        ({"currency": "USD", "zzz": 1}, "zzz", "zzz", "take it out"),
        ({"currency": "USD", "sizes": [A100]}, "sizes", f"['{A100}']", "names of sizes with their prices"),
        (
            {"currency": "USD", "sizes": {"Standard_NC24ads_A100": 3}},
            "sizes.Standard_NC24ads_A100",
            "",
            f"write {A100}",
        ),
        ({"currency": "USD", "sizes": {"m7i.large": 3}}, "sizes.m7i.large", "m7i.large", "take it out"),
        ({"currency": "USD", "sizes": {A100: -1}}, f"sizes.{A100}", "-1", "a number above 0"),
        ({"currency": "USD", "sizes": {A100: "cheap"}}, f"sizes.{A100}", "'cheap'", "a number above 0"),
        ({"currency": "USD", "sizes": {A100: True}}, f"sizes.{A100}", "True", "a number above 0"),
        ({"currency": "USD", "sizes": {A100: float("nan")}}, f"sizes.{A100}", "nan", "a number above 0"),
        ({"currency": "USD", "sizes": {A100: None}}, f"sizes.{A100}", "nothing", "write the price of one node"),
        ({"currency": "USD", "sizes": {A100: {}}}, f"sizes.{A100}", "no price", "list, spot or both"),
        ({"currency": "USD", "sizes": {A100: {"spot": 0}}}, f"sizes.{A100}.spot", "0", "a number above 0"),
        ({"currency": "USD", "sizes": {A100: {"list": 3, "sport": 1}}}, f"sizes.{A100}.sport", "sport", "write spot"),
        ({"currency": "USD", "sizes": {A100: 3, A100.lower(): 4}}, f"sizes.{A100.lower()}", A100, "keep one of them"),
        (["currency"], "", "['currency']", "fields currency, date"),
    ],
)
def test_a_mistake_in_a_file_of_prices_is_named_with_its_correction(
    content: object, path: str, found: str, said: str
) -> None:
    with pytest.raises(PriceFileError) as caught:
        list_prices(own=content, own_name="ours.yaml")  # type: ignore[arg-type]
    (problem,) = caught.value.problems
    assert problem.path == path
    assert found in problem.found
    assert said in f"{problem.allowed}; {problem.do}"
    assert re.match(r"ours\.yaml: (?!: )", str(caught.value))


def test_all_mistakes_of_a_file_are_named_at_once() -> None:
    own = {"currency": "dollars", "regionFactor": -1, "sizes": {"Standard_NC25": 1, A100: {"list": 0, "spot": "low"}}}
    with pytest.raises(PriceFileError) as caught:
        list_prices(own=own)
    assert [problem.path for problem in caught.value.problems] == [
        "currency",
        "regionFactor",
        "sizes.Standard_NC25",
        f"sizes.{A100}.list",
        f"sizes.{A100}.spot",
    ]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["list", "spot", A100, H100, "x"]) | st.integers(), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["currency", "date", "regionFactor", "sizes", "x"]), JSON, max_size=5))
def test_whatever_stands_in_a_file_of_prices_is_used_or_refused_with_a_path(content: dict[str, object]) -> None:
    price, problems = None, []
    try:
        price = list_prices(own=content).of(find_node_size(A100))
    except PriceFileError as refused:
        problems = refused.problems
    assert all(problem.path and problem.do for problem in problems)
    assert price is None or price.per_hour > 0


@given(st.floats(min_value=0.1, max_value=10))
def test_a_dearer_region_is_never_cheaper(factor: float) -> None:
    for size in node_sizes().values():
        price, more = list_prices("x", factor=factor).of(size), list_prices("x", factor=factor * 1.5).of(size)
        assert (price is None) == (more is None)
        assert price is None or more is None or price.per_hour < more.per_hour


def test_a_month_has_730_hours() -> None:
    assert HOURS_PER_MONTH == 365 * 24 / 12
