"""What makes a directory a checkpoint that transformers loads safely, found without reading its weights."""

from __future__ import annotations

import json
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from serving.weights.errors import WeightsError
from serving.weights.space import human

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
SIDE_FILES = ("*.json", "*.txt", "*.model", "*.tiktoken", "*.jinja", "additional_chat_templates/*.jinja")
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.pickle")
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "*.model", "vocab.json", "vocab.txt", "*.tiktoken")
_LFS_POINTER = b"version https://git-lfs"


@dataclass(frozen=True)
class Checkpoint:
    """Names of the files that loading needs, relative to `root`."""

    root: Path
    weights: tuple[str, ...]
    side_files: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted({*self.weights, *self.side_files}))


def inspect(root: Path, source: str) -> Checkpoint:
    """Check a directory; only headers of weights are read. `source` is how messages call it.

    Raises WeightsError: WeightsNotFound (config, tokenizer, weights or a shard missing), WeightsCorrupt (truncated
    file, git-lfs pointer, unreadable JSON, index and shards at odds), PickleRefused (no other weights than pickle).
    """
    weights = _weights(root, source)
    config = read_json(root / "config.json", source)
    if "model_type" not in config:
        raise WeightsError("WeightsCorrupt", f"{source}: config.json has no model_type, so it is no model's config")
    if not any(True for pattern in TOKENIZERS for _ in root.glob(pattern)):
        raise WeightsError(
            "WeightsNotFound", f"{source} has no tokenizer (tokenizer.json or tokenizer.model): add the model's own"
        )
    side_files = {str(path.relative_to(root)) for pattern in SIDE_FILES for path in root.glob(pattern)}
    for name in side_files:
        _must_be_content(root / name, source)
    return Checkpoint(root=root, weights=weights, side_files=tuple(sorted(side_files - {"manifest.json"})))


def gguf_files(root: Path) -> list[Path]:
    return sorted(root.glob("*.gguf"))


def the_one(ggufs: list[Path], source: str) -> Path:
    """The only GGUF file; raises WeightsError if there are several, or if it is none inside."""
    if len(ggufs) > 1:
        raise WeightsError(
            "WeightsNotFound",
            f"{source} has {len(ggufs)} GGUF files ({_some([path.name for path in ggufs])}) and it must be one: "
            "keep the one that is meant; parts of one are joined with llama-gguf-split --merge",
        )
    (file,) = ggufs
    if file.exists():
        _must_be_content(file, source)
        with file.open("rb") as opened:
            if opened.read(4) != b"GGUF":
                raise _corrupt(file, source, "is no GGUF file: fetch it again")
    return file


def has_safetensors(root: Path) -> bool:
    return (root / SINGLE).exists() or (root / INDEX).exists()


def read_json(path: Path, source: str) -> dict[str, Any]:
    """A JSON object of a checkpoint; raises WeightsError if it is missing or is none."""
    try:
        _must_be_content(path, source)
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise WeightsError(
            "WeightsNotFound", f"{source} has no {path.name}: a model's directory needs it beside the weights"
        ) from None
    except ValueError as error:
        raise _corrupt(path, source, f"is no JSON ({error})") from None
    if not isinstance(value, dict):
        raise _corrupt(path, source, "is no JSON object")
    return value


def _weights(root: Path, source: str) -> tuple[str, ...]:
    if (root / SINGLE).exists():
        _tensor_names(root / SINGLE, source)
        return (SINGLE,)
    if (root / INDEX).exists():
        return _shards(root, source)
    raise no_weights({path.name for path in root.iterdir()}, source)


def weights_among(names: set[str], root: Path, source: str) -> list[str]:
    """Which files of a listing to fetch as weights; `root` has the index already, if there is one.

    Raises WeightsError if there is nothing that could be served.
    """
    if SINGLE in names:
        return [SINGLE]
    if INDEX in names:
        return sorted(_tensors_by_shard(root, source))
    if ggufs := sorted(Path(name) for name in names if fnmatch(name, "*.gguf") and "/" not in name):
        return [the_one(ggufs, source).name]
    raise no_weights(names, source)


def no_weights(names: set[str], source: str) -> WeightsError:
    """Why a directory or repository with these files has no weights that can be served."""
    if others := sorted(_matching(names, ("*.safetensors",))):
        return WeightsError(
            "WeightsNotFound",
            f"{source} has {_some(others)} but neither {SINGLE} nor {INDEX}: rename a single file, or add the index",
        )
    if pickles := sorted(_matching(names, PICKLES)):
        return WeightsError(
            "PickleRefused",
            f"{source} has its weights only as pickle ({_some(pickles)}), which can run any code when it is read: "
            "use a revision or a copy with *.safetensors",
        )
    return WeightsError("WeightsNotFound", f"{source} has no weights: neither *.safetensors nor *.gguf")


def _tensors_by_shard(root: Path, source: str) -> dict[str, set[str]]:
    weight_map = read_json(root / INDEX, source).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise _corrupt(root / INDEX, source, "has no weight_map")
    shards: dict[str, set[str]] = {}
    for tensor, shard in weight_map.items():
        if Path(str(shard)).name != shard:
            raise _corrupt(root / INDEX, source, f"names {shard!r}, which is no file name")
        shards.setdefault(shard, set()).add(tensor)
    return shards


def _shards(root: Path, source: str) -> tuple[str, ...]:
    shards = _tensors_by_shard(root, source)
    if missing := sorted(shard for shard in shards if not (root / shard).exists()):
        raise WeightsError(
            "WeightsNotFound",
            f"{source}: {INDEX} names {len(shards)} files and {len(missing)} of them is not there ({_some(missing)}): "
            "fetch what is missing",
        )
    for shard, tensors in sorted(shards.items()):
        if lacking := sorted(tensors - _tensor_names(root / shard, source)):
            raise _corrupt(root / shard, source, f"lacks the tensor {_some(lacking)} that {INDEX} names")
    return (*sorted(shards), INDEX)


def _tensor_names(path: Path, source: str) -> set[str]:
    """Names in a safetensors file. The library checks that the header's offsets cover the file exactly."""
    from safetensors import SafetensorError, safe_open

    _must_be_content(path, source)
    try:
        with safe_open(path, framework="np") as opened:
            return set(opened.keys())
    except SafetensorError as error:
        size = human(path.stat().st_size)
        raise _corrupt(path, source, f"is truncated or no safetensors ({size}; {error}): fetch it again") from None


def _must_be_content(path: Path, source: str) -> None:
    with path.open("rb") as file:
        if file.read(len(_LFS_POINTER)) == _LFS_POINTER:
            raise _corrupt(path, source, "is a git-lfs pointer, not the file itself: run git lfs pull there")


def _corrupt(path: Path, source: str, what: str) -> WeightsError:
    return WeightsError("WeightsCorrupt", f"{source}: {path.name} {what}")


def _matching(names: set[str], patterns: tuple[str, ...]) -> set[str]:
    return {name for name in names for pattern in patterns if fnmatch(name, pattern)}


def _some(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
