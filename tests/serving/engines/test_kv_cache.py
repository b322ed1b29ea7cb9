"""The cache takes memory from the machine as it fills, not when it is made."""

from __future__ import annotations

import psutil
import torch

from serving.engines.transformers_engine.kv_cache import KvCache


def test_reserved_memory_is_not_resident_until_it_is_written() -> None:
    cache = KvCache(slots=8, context=65536, device=torch.device("cpu"))
    before = psutil.Process().memory_info().rss
    row = torch.ones(1, 8, 64)
    keys, values = cache.write(0, torch.tensor([65536 * 3 + 5]), row, row)
    assert cache.capacity_bytes == 2 * 8 * 65536 * 8 * 64 * 4
    assert psutil.Process().memory_info().rss - before < cache.capacity_bytes / 20
    assert bool((keys[3, 5] == 1).all())
    assert float(values[3, :8].sum()) == 8 * 64
