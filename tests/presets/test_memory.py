"""The arithmetic of memory."""

from __future__ import annotations

import pytest

from presets.catalog import catalog, find_preset
from presets.memory import GIB, kv_cache_bytes, weights_bytes

KAITO_BYTES_PER_TOKEN = {"phi-3-mini-4k-instruct": 393216, "phi-3-mini-128k-instruct": 393216}
KAITO_WEIGHTS_GIB = {"phi-3-mini-4k-instruct": 7.12, "phi-3-mini-128k-instruct": 7.12}


@pytest.mark.parametrize("name", KAITO_BYTES_PER_TOKEN)
def test_figures_agree_with_kaito_s_catalogue_where_it_has_the_model(name: str) -> None:
    preset = find_preset(name)
    assert kv_cache_bytes(preset.shape, 1) == KAITO_BYTES_PER_TOKEN[name]
    assert weights_bytes(preset, "bfloat16") / GIB == pytest.approx(KAITO_WEIGHTS_GIB[name], abs=0.005)


def test_the_weights_of_smollm2_are_the_bytes_of_its_safetensors() -> None:
    assert weights_bytes(find_preset("smollm2-135m-instruct"), "bfloat16") == 269_030_016


def test_a_cache_grows_with_its_tokens_and_the_size_of_a_number() -> None:
    for preset in catalog().values():
        shape = preset.shape
        state = kv_cache_bytes(shape, 0)
        assert (state > 0) == any(group.kind == "linear" for group in shape.layers), "only a state is there at once"
        per_token = kv_cache_bytes(shape, 128) - state
        assert kv_cache_bytes(shape, 1280) - state == 10 * per_token, "within every window, whatever is compressed"
        assert kv_cache_bytes(shape, 10, "float32") >= kv_cache_bytes(shape, 10)


def test_a_cache_of_fewer_than_no_tokens_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="tokens is -1"):
        kv_cache_bytes(find_preset("smollm2-135m-instruct").shape, -1)
