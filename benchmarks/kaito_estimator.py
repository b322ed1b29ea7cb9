"""KAITO's estimate of nodes, from KAITO's own facts, written again from its source.

Source: kaito-project/kaito v0.12 @056b8280, pkg/workspace/estimator/nodesestimator/estimator.go; how the engine is then
started: configureParallelism of pkg/model/interface.go. The facts are in kaito_catalog.yaml.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from pathlib import Path

import yaml

from presets.facts import Fact

GIB = 2**30

DEFAULT_SIZE = "Standard_NC24ads_A100_v4"
"""Of a v1alpha1 Workspace that names none."""

UTILIZATION = 0.84
"""Part of a GPU's memory that the estimate plans for, and that vLLM is started with, but for A10_UTILIZATION."""

A10_UTILIZATION = 0.82

_FILE = Path(__file__).with_name("kaito_catalog.yaml")


class KaitoModel(Fact):
    weights_gib: float
    """All *.safetensors of the repository, copies in other layouts included."""
    layers: int
    kv_heads: int = 0
    head_dim: int = 0
    kv_lora_rank: int = 0
    qk_rope_head_dim: int = 0

    @property
    def token_bytes(self) -> int:
        """Of one token's cache in 16 bits, every layer counted as full attention or as MLA."""
        if self.kv_lora_rank:
            return 2 * self.layers * (self.kv_lora_rank + self.qk_rope_head_dim)
        return 2 * 2 * self.layers * self.kv_heads * self.head_dim


class KaitoSize(Fact):
    gpu: str
    gpus: int
    memory_gib: float
    """GiB, nominal, of all GPUs of the node together."""

    @property
    def launch_utilization(self) -> float:
        """The --gpu-memory-utilization that vLLM is started with."""
        return A10_UTILIZATION if self.gpu == "A10" else UTILIZATION


class _Catalog(Fact):
    models: dict[str, KaitoModel]
    """By repository."""
    sizes: dict[str, KaitoSize]


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What KAITO's formula is given, its constants included, so that each can be replaced by itself."""

    weights_gib: float
    cache_gib: float
    """Of the whole context in all layers."""
    gpus: int
    """Of one node."""
    gpu_gib: float
    utilization: float = UTILIZATION
    growth: float = 1.02
    """By which the weights in memory exceed the files."""
    reserve_gib: float = 2.3
    """On every GPU."""
    fragmentation: float = 0.05
    floor_plus_one: bool = True
    """KAITO takes the number of GPUs that it divides out, rounded down, and one more."""
    cache_on_every_node: bool = True
    """KAITO divides the cache among the GPUs of one node, however many nodes there are."""

    def nodes(self) -> int | None:
        """Nodes of one replica; None where KAITO ends with "GPU memory is too small".

        >>> Estimate(weights_gib=121.54, cache_gib=0.14, gpus=1, gpu_gib=80).nodes()
        3
        """
        if self.cache_on_every_node:
            return self._of_share(self.cache_gib / self.gpus)
        for nodes in range(1, 1025):
            needed = self._of_share(self.cache_gib / (self.gpus * nodes))
            if needed is not None and needed <= nodes:
                return nodes
        return None

    def _of_share(self, cache_gib: float) -> int | None:
        """With that much cache on each GPU."""
        available = self.utilization * self.gpu_gib
        reserve = self.reserve_gib + cache_gib
        if available <= reserve:
            return None
        gpus = self.growth * self.weights_gib / ((available - reserve) / (1 + self.fragmentation))
        return math.ceil((int(gpus) + 1 if self.floor_plus_one else math.ceil(gpus)) / self.gpus)


def kaito_models() -> dict[str, KaitoModel]:
    return _catalog().models


def kaito_sizes() -> dict[str, KaitoSize]:
    return _catalog().sizes


def estimate(model: KaitoModel, size: KaitoSize, context: int) -> Estimate:
    """What KAITO computes with; context: vllm.max-model-len of its inference_config, 2048 where that has none.

    >>> [estimate(kaito_models()["google/gemma-4-31B-it"], kaito_sizes()["Standard_NV36ads_A10_v5"], context).nodes()
    ...  for context in (2048, 16384, 32768)]
    [4, 22, None]
    """
    return Estimate(
        weights_gib=model.weights_gib,
        cache_gib=context * model.token_bytes / GIB,
        gpus=size.gpus,
        gpu_gib=size.memory_gib / size.gpus,
    )


def parallelism(model: KaitoModel, size: KaitoSize, nodes: int) -> tuple[int, int]:
    """The tensor and the pipeline parallel size that KAITO starts vLLM with, whether they divide the model or not.

    On one node a model of less than half a GPU is repeated on each of them instead.

    >>> parallelism(kaito_models()["microsoft/phi-4"], kaito_sizes()["Standard_ND96asr_A100_v4"], 1)
    (8, 1)
    """
    if nodes == 1 and size.gpus > 1 and model.weights_gib < 0.5 * size.memory_gib / size.gpus:
        return 1, 1
    return size.gpus, nodes


@functools.cache
def _catalog() -> _Catalog:
    return _Catalog.model_validate(yaml.safe_load(_FILE.read_text(encoding="utf-8")))
