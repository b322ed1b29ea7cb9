"""Tokenizers of the two kinds there are: one that knows bytes, one that falls back to them."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer as ReferenceTokenizer
from tokenizers import decoders, models, normalizers

from serving.text.tokenizer import ModelTokenizer, load_tokenizer


@pytest.fixture(scope="session")
def smollm2_tokenizer(smollm2_dir: Path) -> ModelTokenizer:
    return load_tokenizer(smollm2_dir)


@pytest.fixture(scope="session")
def reference_tokenizer(smollm2_dir: Path) -> ReferenceTokenizer:
    """SmolLM2's tokenizer by another way than the service's."""
    return ReferenceTokenizer.from_file(str(smollm2_dir / "tokenizer.json"))


@pytest.fixture(scope="session")
def byte_fallback_tokenizer() -> ReferenceTokenizer:
    """As the Llama 2 and Gemma families have it: words carry a leading space, an unknown character is its bytes."""
    words = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), *"▁abcé.", "▁a", "▁ab", "▁abc"]
    tokenizer = ReferenceTokenizer(
        models.BPE(
            vocab={word: index for index, word in enumerate(words)},
            merges=[("▁", "a"), ("▁a", "b"), ("▁ab", "c")],
            unk_token="<unk>",
            byte_fallback=True,
            fuse_unk=True,
        )
    )
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return tokenizer
