"""A tokenizer for the tiny models: single characters, a few pairs, and fewer tokens than the models have rows."""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers.tokenization_utils_tokenizers import PreTrainedTokenizerFast

END = 2
"""The id of the end of a text."""

_PAIRS = (("{", '"'), ('"', ":"), ('"', "}"), ("}", "]"), ("t", "r"), ("u", "e"))


def save_tokenizer(directory: Path) -> Path:
    """Write it into a model's directory."""
    characters = ["Ġ", "Ċ", *(chr(code) for code in range(0x21, 0x7F))]
    words = ["<pad>", "<bos>", "<eos>", *characters, *(left + right for left, right in _PAIRS)]
    backend = Tokenizer(models.BPE(vocab={word: index for index, word in enumerate(words)}, merges=list(_PAIRS)))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", bos_token="<bos>", eos_token="<eos>"
    )
    tokenizer.save_pretrained(directory)
    return directory
