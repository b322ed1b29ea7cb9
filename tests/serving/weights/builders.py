"""Small real things to fetch: checkpoints, GGUF files and wheels, made in milliseconds."""

from __future__ import annotations

import base64
import hashlib
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path

import gguf
import numpy as np
from safetensors.numpy import save_file

HIDDEN, HEADS, VOCABULARY = 64, 4, 259
CHAT_TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}"


def checkpoint(root: Path, *, shards: int = 0, config: Mapping[str, object] | None = None, seed: int = 0) -> Path:
    """A directory that passes for a checkpoint: one file of weights, or `shards` of them with their index."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "config.json").write_text(json.dumps({"model_type": "llama"} if config is None else config))
    (root / "tokenizer.json").write_text(json.dumps({"model": {"type": "BPE"}}))
    values = np.random.default_rng(seed).standard_normal((256, 1024), dtype=np.float32)
    if not shards:
        save_file({"weight": values}, root / "model.safetensors")
        return root
    weight_map: dict[str, str] = {}
    for number in range(1, shards + 1):
        name = f"model-{number:05}-of-{shards:05}.safetensors"
        save_file({f"layer.{number}.weight": values + number}, root / name)
        weight_map[f"layer.{number}.weight"] = name
    (root / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return root


def gguf_model(path: Path) -> Path:
    """A Llama of one layer with a byte tokenizer, small enough that converting it is mostly loading libraries."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_block_count(1)
    writer.add_context_length(128)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(VOCABULARY)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(["<s>", "</s>", *_byte_letters(), "ab"])
    writer.add_token_types([3, 3, *([1] * 257)])
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_chat_template(CHAT_TEMPLATE)
    random = np.random.default_rng(7)
    square = (HIDDEN, HIDDEN)
    shapes = {f"blk.0.{part}.weight": square for part in ("attn_q", "attn_k", "attn_v", "attn_output")}
    shapes |= {f"blk.0.{part}.weight": square for part in ("ffn_gate", "ffn_up", "ffn_down")}
    shapes |= {"token_embd.weight": (VOCABULARY, HIDDEN)}
    for name, shape in shapes.items():
        writer.add_tensor(name, random.standard_normal(shape, dtype=np.float32))
    for name in ("blk.0.attn_norm.weight", "blk.0.ffn_norm.weight", "output_norm.weight"):
        writer.add_tensor(name, np.ones(HIDDEN, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def wheel(directory: Path, name: str, files: Mapping[str, Path | bytes], *, version: str = "1.0") -> Path:
    """A wheel with `files` in its package, as an installer takes it."""
    directory.mkdir(parents=True, exist_ok=True)
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    contents: dict[str, bytes] = {f"{module}/__init__.py": b""}
    contents |= {f"{module}/{inner}": _bytes_of(what) for inner, what in files.items()}
    contents[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode()
    contents[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    lines = [f"{inner},sha256={_record_digest(data)},{len(data)}" for inner, data in contents.items()]
    contents[f"{info}/RECORD"] = "\n".join([*lines, f"{info}/RECORD,,", ""]).encode()
    path = directory / f"{module}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for inner, data in contents.items():
            archive.writestr(inner, data)
    return path


def sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _bytes_of(what: Path | bytes) -> bytes:
    return what if isinstance(what, bytes) else what.read_bytes()


def _record_digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")


def _byte_letters() -> list[str]:
    """The printable letters that byte-level BPE writes for the 256 bytes."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + number) for number in range(len(others))]
