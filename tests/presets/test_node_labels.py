"""Existing nodes, described by the labels of NVIDIA GPU feature discovery."""

from __future__ import annotations

import pytest

from presets.node_labels import find_gpu, node_from_labels
from presets.node_sizes import find_node_size, gpu_models, with_mig

GPU, CUDA = "nvidia.com/gpu", "nvidia.com/cuda.compute"


def labels(product: str, count: str = "1", memory: str = "81920", **more: str) -> dict[str, str]:
    """The three labels that every node has, and `more`: a_b__c is the label nvidia.com/a-b.c."""
    extra = {f"nvidia.com/{key.replace('__', '.').replace('_', '-')}": value for key, value in more.items()}
    return {f"{GPU}.product": product, f"{GPU}.count": count, f"{GPU}.memory": memory, **extra}


MIXED = {
    f"{GPU}.product": "NVIDIA-H100-NVL",
    f"{GPU}.count": "2",
    f"{GPU}.memory": "95830",
    "nvidia.com/mig-1g.12gb.count": "7",
    "nvidia.com/mig-1g.12gb.memory": "11008",
    "nvidia.com/mig-3g.47gb.count": "2",
    "nvidia.com/mig-3g.47gb.memory": "47488",
    "nvidia.com/mig-7g.94gb.count": "0",
    "nvidia.com/mig-7g.94gb.memory": "95360",
}
"""migStrategy mixed: one GPU in seven slices, the other in two."""


@pytest.mark.parametrize(
    ("product", "memory", "gpu", "usable"),
    [
        ("Tesla-T4", "15360", "T4", 14.56),
        ("Tesla-V100-SXM2-16GB", "16384", "V100-16GB", 15.77),
        ("Tesla-V100-PCIE-32GB", "32768", "V100-32GB", 31.73),
        ("NVIDIA-A10", "23028", "A10", 21.96),
        ("NVIDIA-A10-24Q", "24512", "A10", 21.96),
        ("NVIDIA-A100-SXM4-40GB", "40960", "A100-40GB", 39.38),
        ("A100-SXM4-40GB", "40536", "A100-40GB", 39.38),
        ("NVIDIA-A100-SXM4-80GB", "81920", "A100-80GB", 79.14),
        ("NVIDIA-A100-80GB-PCIe", "81920", "A100-80GB", 79.14),
        ("NVIDIA-H100-80GB-HBM3", "81559", "H100-80GB", 79.14),
        ("NVIDIA-H100-PCIe", "81559", "H100-80GB", 79.14),
        ("NVIDIA-H100-NVL", "95830", "H100-NVL", 93.09),
        ("NVIDIA-H200", "143771", "H200", 139.72),
    ],
)
def test_a_gpu_of_the_catalogue_has_its_usable_memory_whatever_its_driver_calls_it(
    product: str, memory: str, gpu: str, usable: float
) -> None:
    node = node_from_labels(labels(product, "2", memory), "gpu-1")
    assert (node.name, node.gpus, node.existing) == ("gpu-1", 2, True)
    assert (node.gpu.name, node.gpu.usable_gib) == (gpu, usable)
    assert node.gpu.compute_capability == gpu_models()[gpu].compute_capability
    assert node.gpu.memory_gib == pytest.approx(int(memory) / 1024, abs=0.01)


@pytest.mark.parametrize("product", ["NVIDIA-A10G", "NVIDIA-A100", "NVIDIA-H100-NVLX", "NVIDIA-L4", "", "NVIDIA-"])
def test_a_product_that_only_begins_like_a_known_one_is_not_taken_for_it(product: str) -> None:
    assert find_gpu(product) is None


def test_half_of_a_board_has_half_of_what_can_be_used() -> None:
    node = node_from_labels(labels("NVIDIA-A10-12Q", memory="12288"))
    assert node.gpu.usable_gib == pytest.approx(21.96 / 2, abs=0.01)


@pytest.mark.parametrize("compute", [f"{GPU}.compute", CUDA])
def test_a_gpu_that_is_not_in_the_catalogue_is_known_by_its_labels(compute: str) -> None:
    node = node_from_labels(
        labels("NVIDIA-L40S", "4", "46068") | {f"{compute}.major": "8", f"{compute}.minor": "9"}, "gpu-1"
    )
    assert (node.gpus, node.gpu.name, node.gpu.compute_capability) == (4, "L40S", 8.9)
    assert node.gpu.usable_gib == pytest.approx(46068 / 1024 * 0.97, abs=0.02)


def test_a_node_without_a_name_is_called_by_its_instance_type_or_its_gpus() -> None:
    a100 = labels("NVIDIA-A100-80GB-PCIe", "2")
    assert node_from_labels(a100).name == "2 x A100-80GB"
    typed = node_from_labels(a100 | {"node.kubernetes.io/instance-type": "Standard_NC48ads_A100_v4"})
    assert typed.name == "Standard_NC48ads_A100_v4"
    assert (typed.vcpus, typed.ram_gib, typed.nvme_gib) == (48, 440, 1788)
    assert typed.interconnect == "nvlink"
    assert typed.existing
    assert not typed.family, "existing nodes need no further quota"


@pytest.mark.parametrize(
    ("product", "interconnect"),
    [("NVIDIA-A100-SXM4-80GB", "nvlink"), ("NVIDIA-H100-80GB-HBM3", "nvlink"), ("NVIDIA-A100-80GB-PCIe", "pcie")],
)
def test_sxm_boards_are_linked_by_nvlink(product: str, interconnect: str) -> None:
    assert node_from_labels(labels(product, "8")).interconnect == interconnect


@pytest.mark.parametrize(
    ("product", "count", "memory", "usable"),
    [
        ("NVIDIA-H100-NVL-MIG-1g.12gb", "7", "11008", 10.75),
        ("NVIDIA-A100-SXM4-80GB-MIG-1g.10gb", "56", "9728", 9.5),
        ("A100-SXM4-40GB-MIG-3g.20gb", "2", "20096", 19.5),
    ],
)
def test_slices_of_one_kind_are_counted_by_their_own_labels(
    product: str, count: str, memory: str, usable: float
) -> None:
    node = node_from_labels(labels(product, count, memory))
    profile = product.rpartition("-MIG-")[2]
    assert (node.gpus, node.gpu.usable_gib, node.gpu.mig_profile) == (int(count), usable, profile)
    assert node.interconnect == "pcie"
    assert with_mig(node, profile) == node
    with pytest.raises(ValueError, match=f"into MIG slices {profile}, not 7g.80gb"):
        node_from_labels(labels(product, count, memory), profile="7g.80gb")


def test_slices_that_the_catalogue_does_not_know_have_the_memory_of_their_label() -> None:
    media = node_from_labels(labels("NVIDIA-A100-80GB-PCIe-MIG-1g.10gb.me", memory="9728"))
    assert 9 < media.gpu.usable_gib < 9.5
    b200 = node_from_labels(labels("NVIDIA-B200-MIG-1g.23gb", "7", "22528", gpu__compute__major="10"))
    assert (b200.gpu.name, b200.gpu.compute_capability) == ("B200 MIG 1g.23gb", 10.0)


@pytest.mark.parametrize(("profile", "count", "usable"), [("1g.12gb", 7, 10.75), ("3g.47gb", 2, 46.12)])
def test_of_slices_of_several_kinds_those_that_are_asked_for_count(profile: str, count: int, usable: float) -> None:
    node = node_from_labels(MIXED, profile=profile)
    assert (node.gpus, node.gpu.usable_gib) == (count, usable)


@pytest.mark.parametrize(
    ("profile", "said"),
    [("", "of several kinds; ask for 1g.12gb or 3g.47gb"), ("7g.94gb", "but none of 7g.94gb; ask for 1g.12gb or")],
)
def test_slices_of_several_kinds_need_a_profile_that_is_there(profile: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        node_from_labels(MIXED, profile=profile)


def test_slices_of_one_kind_need_no_profile_under_strategy_mixed() -> None:
    one = {label: value for label, value in MIXED.items() if "3g.47gb" not in label}
    assert node_from_labels(one).gpu.name == "H100-NVL MIG 1g.12gb"


def test_slices_of_a_node_that_is_not_divided_are_refused() -> None:
    with pytest.raises(ValueError, match="not divided into MIG slices"):
        node_from_labels(labels("NVIDIA-A100-80GB-PCIe"), profile="1g.10gb")


@pytest.mark.parametrize(
    "shared",
    [
        labels("NVIDIA-A10-24Q-SHARED", gpu__replicas="4"),
        labels("A100-SXM4-40GB-MIG-1g.5gb-SHARED"),
        labels("NVIDIA-A10", gpu__sharing_strategy="time-slicing"),
        labels("NVIDIA-A10", gpu__sharing_strategy="mps"),
        labels("NVIDIA-A10", gpu__replicas="4"),
        MIXED | {"nvidia.com/mig-1g.12gb.replicas": "2"},
    ],
)
def test_gpus_that_pods_share_are_refused_because_their_memory_is_not_ones_own(shared: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"shared between pods .* use nodes without sharing"):
        node_from_labels(shared)


def test_a_gpu_that_is_expressly_not_shared_is_not_refused() -> None:
    assert node_from_labels(labels("NVIDIA-A10", gpu__sharing_strategy="none", gpu__replicas="1")).gpus == 1


@pytest.mark.parametrize(
    ("without", "said"),
    [
        ({}, "lacks the labels nvidia.com/gpu.product, nvidia.com/gpu.count and nvidia.com/gpu.memory; install"),
        ({f"{GPU}.product": "Tesla-T4", f"{GPU}.count": "1"}, "lacks the label nvidia.com/gpu.memory; install"),
        (labels("Tesla-T4") | {f"{GPU}.count": ""}, "lacks the label nvidia.com/gpu.count; install"),
        (labels("NVIDIA-L4"), "lacks the label nvidia.com/gpu.compute.major; install"),
        (
            {"nvidia.com/mig-1g.5gb.count": "7"},
            "lacks the labels nvidia.com/gpu.product and nvidia.com/mig-1g.5gb.memory; install",
        ),
    ],
)
def test_every_label_that_is_missing_is_named_with_the_way_out(without: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=f"^gpu-1 {said} .*kubectl label node"):
        node_from_labels(without, "gpu-1")


@pytest.mark.parametrize("text", ["two", "0", "-1", "1.5", "16Gi", "²"])
def test_a_label_that_is_no_number_is_shown_as_it_is(text: str) -> None:
    with pytest.raises(ValueError, match=r"nvidia.com/gpu.count of gpu-1 is .* whole number above 0"):
        node_from_labels(labels("Tesla-T4", count=text), "gpu-1")
    with pytest.raises(ValueError, match=r"nvidia.com/gpu.memory of gpu-1 is .* whole number of MiB above 0"):
        node_from_labels(labels("Tesla-T4", memory=text), "gpu-1")


@pytest.mark.parametrize(("major", "minor"), [("eight", "0"), ("8", "x"), ("8.0", "0"), ("", "0")])
def test_a_compute_capability_that_is_no_number_is_shown_as_it_is(major: str, minor: str) -> None:
    with pytest.raises(ValueError, match=f"are '{major}' and '{minor}', not digits"):
        node_from_labels(labels("NVIDIA-L4", gpu__compute__major=major, gpu__compute__minor=minor))


def test_a_described_node_plans_like_the_size_that_it_is() -> None:
    size = find_node_size("Standard_NC24ads_A100_v4")
    node = node_from_labels(labels("NVIDIA-A100-80GB-PCIe"))
    assert (node.gpus, node.gpu.usable_gib) == (size.gpus, size.gpu.usable_gib)
