"""The facts about GPUs and nodes, and how a size is found."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from presets.node_sizes import (
    GPUS,
    GpuModel,
    UnknownMigProfile,
    UnknownNodeSize,
    find_node_size,
    gpu_models,
    node_sizes,
    with_gpus,
    with_mig,
)

KAITO = (
    "Standard_NV36ads_A10_v5",
    "Standard_NV72ads_A10_v5",
    "Standard_NC24ads_A100_v4",
    "Standard_NC48ads_A100_v4",
    "Standard_NC96ads_A100_v4",
    "Standard_ND96asr_A100_v4",
    "Standard_ND96amsr_A100_v4",
    "Standard_NC40ads_H100_v5",
    "Standard_NC80adis_H100_v5",
    "Standard_NCC40ads_H100_v5",
    "Standard_ND96isr_H100_v5",
    "Standard_ND96isr_H200_v5",
    "Standard_NG32ads_V620_v1",
    "Standard_NG32adms_V620_v1",
)
"""Sizes that KAITO v0.12 knows on Azure, by its names."""


@pytest.mark.parametrize("name", gpu_models())
def test_less_memory_is_usable_than_the_data_sheet_of_the_gpu_says(name: str) -> None:
    gpu = gpu_models()[name]
    assert 0.9 * gpu.memory_gib < gpu.usable_gib < gpu.memory_gib
    assert (gpu.compute_capability > 0) == (gpu.vendor == "nvidia")


@pytest.mark.parametrize("name", gpu_models())
def test_the_slices_of_a_gpu_have_no_more_memory_together_than_the_gpu(name: str) -> None:
    gpu = gpu_models()[name]
    for profile, slices in gpu.mig.items():
        compute, memory = re.fullmatch(r"(\d)g\.(\d+)gb", profile).groups()  # type: ignore[union-attr]
        assert slices.memory_gib * slices.per_gpu <= gpu.usable_gib, profile
        assert int(compute) * slices.per_gpu <= 7, f"a GPU has seven compute slices, too few for {profile}"
        assert 0.85 * int(memory) < slices.memory_gib < int(memory), f"{profile} has the memory of another profile"


def test_only_the_gpus_that_nvidia_divides_have_mig_profiles() -> None:
    assert {name for name, gpu in gpu_models().items() if gpu.mig} == {
        "A100-40GB",
        "A100-80GB",
        "H100-80GB",
        "H100-NVL",
        "H200",
    }


@pytest.mark.parametrize("name", node_sizes())
def test_a_size_says_what_a_plan_of_it_needs(name: str) -> None:
    size = node_sizes()[name]
    assert size.gpu == gpu_models()[size.gpu.name]
    assert re.match(r"(?i)standard", size.family), "whose quota a node counts against is missing"
    assert size.vcpus >= 4
    assert size.ram_gib >= size.gpu.memory_gib, "weights pass through memory on their way to the GPU"
    assert size.gpus == 1 or size.gpu.name in {"T4", "V100-16GB", "A10"} or "nvlink" in size.interconnect
    assert not size.existing


def test_the_letters_in_a_name_agree_with_the_facts() -> None:
    for name, size in node_sizes().items():
        assert f"{size.vcpus}" in name
        rdma = re.match(r"Standard_N[A-Z]+\d+[a-z]*r", name) is not None
        assert ("infiniband" in size.interconnect) == rdma, f"{name}: letter r is RDMA"


def test_every_gpu_of_the_catalogue_is_in_some_node() -> None:
    assert {size.gpu.name for size in node_sizes().values()} == set(gpu_models())


def test_sizes_come_in_the_order_of_their_names() -> None:
    assert list(node_sizes()) == sorted(node_sizes())


@pytest.mark.parametrize("name", KAITO)
def test_a_size_that_kaito_knows_is_found_by_kaitos_name_in_any_case(name: str) -> None:
    assert find_node_size(name) == find_node_size(name.upper()) == find_node_size(name.lower())


def test_azures_name_of_the_same_nodes_is_shown_for_kaitos() -> None:
    assert find_node_size("Standard_ND96asr_A100_v4").name == "Standard_ND96asr_v4"


def test_no_two_names_or_aliases_mean_different_sizes() -> None:
    names = [known.lower() for name, size in node_sizes().items() for known in (name, *size.aliases)]
    assert len(names) == len(set(names))


def test_no_size_stands_twice_in_a_file() -> None:
    for file in ("models.yaml", "azure_sizes.yaml"):
        names = re.findall(r"^([^\s#:]+):(?: *#.*)?$", (GPUS / file).read_text(encoding="utf-8"), flags=re.MULTILINE)
        assert len(names) == len(set(names)), f"YAML keeps the last of two entries in silence: {file}"
        assert set(names) == set(gpu_models() if file == "models.yaml" else node_sizes())


def test_every_file_says_where_its_facts_are_from() -> None:
    for file, facts in {
        "models.yaml": ("memory_gib", "usable_gib", "products", "mig"),
        "azure_sizes.yaml": ("ram_gib", "nvme_gib", "interconnect", "family", "aliases", "retired"),
        "azure_prices.yaml": ("list", "date"),
    }.items():
        text = (GPUS / file).read_text(encoding="utf-8")
        for fact in facts:
            assert re.search(rf"^#.*\b{fact}\b.*:", text, flags=re.MULTILINE), f"{file} has no source for {fact}"


def test_a_size_without_its_version_suffix_is_corrected() -> None:
    with pytest.raises(UnknownNodeSize) as caught:
        find_node_size("Standard_NC24ads_A100")
    assert caught.value.nearest[0] == "Standard_NC24ads_A100_v4"
    assert "Standard_NC24ads_A100" in str(caught.value)


@given(st.text() | st.sampled_from(KAITO))
def test_any_name_is_found_or_refused(name: str) -> None:
    try:
        found = find_node_size(name)
    except UnknownNodeSize:
        found = None
    names = {known.lower() for size in node_sizes().values() for known in (size.name, *size.aliases)}
    assert (found is not None) == (name.lower() in names)


@pytest.mark.parametrize("name", ["Standard_NC6s_v3", "Standard_NC12s_v3", "Standard_NC24s_v3", "Standard_NC24rs_v3"])
def test_a_size_that_azure_has_retired_says_since_when(name: str) -> None:
    assert "2025-09-30" in find_node_size(name).retired


def test_sizes_that_can_be_had_are_not_called_retired() -> None:
    assert {name for name, size in node_sizes().items() if size.retired} == {
        "Standard_NC6s_v3",
        "Standard_NC12s_v3",
        "Standard_NC24s_v3",
        "Standard_NC24rs_v3",
    }


def test_a_node_divided_into_slices_has_them_instead_of_its_gpus() -> None:
    whole = find_node_size("Standard_NC48ads_A100_v4")
    sliced = with_mig(whole, "3g.40gb")
    assert (sliced.gpus, sliced.gpu.usable_gib) == (4, 39.25)
    assert "3g.40gb" in sliced.name
    assert "3g.40gb" in sliced.gpu.name
    assert sliced.gpu.mig_profile == "3g.40gb"
    assert sliced.interconnect == "pcie", "NVLink does not reach slices"
    assert sliced.gpu.compute_capability == whole.gpu.compute_capability
    assert sliced.vcpus == whole.vcpus
    assert sliced.size_name == whole.name, "its price would not be found"


def test_slices_of_the_profile_that_a_node_has_already_are_that_node() -> None:
    sliced = with_mig(find_node_size("Standard_NC40ads_H100_v5"), "1g.12gb")
    assert with_mig(sliced, "1g.12gb") == sliced
    with pytest.raises(UnknownMigProfile, match="cannot be divided"):
        with_mig(sliced, "1g.24gb")


@pytest.mark.parametrize(
    ("name", "profile", "said"),
    [
        ("Standard_NC24ads_A100_v4", "1g.5gb", "1g.10gb, 1g.20gb"),
        ("Standard_NC24ads_A100_v4", "", "1g.10gb, 1g.20gb"),
        ("Standard_NV36ads_A10_v5", "1g.10gb", "cannot be divided"),
    ],
)
def test_a_profile_that_a_gpu_lacks_is_refused_with_those_it_has(name: str, profile: str, said: str) -> None:
    with pytest.raises(UnknownMigProfile, match=re.escape(said)) as caught:
        with_mig(find_node_size(name), profile)
    assert caught.value.profiles == tuple(find_node_size(name).gpu.mig)


def test_a_node_of_which_some_gpus_are_used_keeps_their_memory_and_link() -> None:
    whole = find_node_size("Standard_NC96ads_A100_v4")
    part = with_gpus(whole, 2)
    assert (part.gpus, part.gpu, part.interconnect) == (2, whole.gpu, whole.interconnect)
    assert part.name != whole.name
    assert part.size_name == whole.name
    assert with_gpus(whole, 4) == whole


@pytest.mark.parametrize("count", [-1, 0, 3])
def test_more_gpus_than_a_node_has_are_refused_with_their_number(count: int) -> None:
    with pytest.raises(ValueError, match=f"2 A100-80GB in each node, so {count} cannot"):
        with_gpus(find_node_size("Standard_NC48ads_A100_v4"), count)


def test_a_gpu_whose_usable_memory_is_more_than_it_has_is_refused_where_it_is_read() -> None:
    with pytest.raises(ValidationError, match="cannot use 25"):
        GpuModel(name="x", vendor="nvidia", memory_gib=24, usable_gib=25, compute_capability=8.6)
