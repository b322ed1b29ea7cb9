"""The files of a model that its facts are read from: a directory's, or a repository's in the hub's cache.

Only small files and headers are read, no weights. The hub itself is asked by hub_files.py.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml

from presets.drafting.draft import Draft, draft
from presets.weights_source import parse_weights_source

_FLOATS = frozenset({"F64", "F32", "F16", "BF16"})

_OUTPUT_LAYERS = ("lm_head.weight", "embed_out.weight", "output.weight")

_LARGEST_HEADER = 100 * 2**20
"""Bytes; the safetensors library refuses longer ones too."""

INDEX = "model.safetensors.index.json"

CONFIGS = ("config.json", "params.json")
"""The second is Mistral's own format."""

PICKLES = (".bin", ".pt", ".pth", ".ckpt")


class FactsError(ValueError):
    """A model whose files do not say what it is. str() is one sentence: what was found, and what to do."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a repository or directory says about its model."""

    repository: str
    """ORG/MODEL; local/NAME for a directory."""
    config: Mapping[str, Any]
    weights_bytes: int
    """Of the safetensors that are loaded, copies in other layouts not counted."""
    parameters: int | None
    """None where the weights are quantized, or their headers were not read."""
    license: str = ""
    gated: bool = False
    revision: str = "main"
    """A commit, where there is one."""
    source: str = ""
    """Weights source; empty: the repository."""
    task: str = ""
    """The hub's pipeline tag."""
    output_layer: bool | None = None
    """Whether the weights hold an output layer of their own; None: not known."""
    chat_template: bool | None = None

    def draft(self) -> Draft:
        """Raises DraftError for what is no decoder."""
        return draft(
            self.repository,
            self.config,
            weights_bytes=self.weights_bytes,
            parameters=self.parameters,
            license=self.license,
            gated=self.gated,
            revision=self.revision,
            source=self.source,
            task=self.task,
            output_layer=self.output_layer,
            chat_template=self.chat_template,
        )


@dataclass(frozen=True)
class Weights:
    """What headers of safetensors say together. `parameters`: None where a tensor is no plain float."""

    parameters: int | None
    output_layer: bool


def directory_of(name: str) -> Path | None:
    """The directory that a model's name means: file:, or a path that begins with /, ./, ../ or ~; None: it is no path.

    >>> directory_of("file:/models/mine"), directory_of("org/model")
    (PosixPath('/models/mine'), None)
    """
    path = name.removeprefix("file:")
    is_path = path != name or path in (".", "..") or path.startswith(("/", "./", "../", "~"))
    if not is_path:
        return None
    try:
        return Path(path).expanduser()
    except RuntimeError:
        # ~somebody whom this machine does not know: a directory that is not there.
        return Path(path)


def repository_of(name: str) -> tuple[str, str]:
    """Repository and revision that a model's name means; raises FactsError.

    >>> repository_of("org/model@v2"), repository_of("hf:org/model")
    (('org/model', 'v2'), ('org/model', 'main'))
    """
    try:
        found = parse_weights_source(f"hf:{name.removeprefix('hf:')}")
    except ValueError:
        raise FactsError(f"{name} is neither ORG/MODEL of the hub nor a path; write one, or ./{name}") from None
    return found.target, found.version or "main"


def from_directory(path: Path) -> Facts:
    """The facts of a model in a directory; raises FactsError."""
    with _readable(path):
        if not path.is_dir():
            raise FactsError(
                f"{path.absolute()} is not a directory; write the absolute path of one that holds config.json"
            )
        path = path.resolve()
        slug = re.sub(r"[^\w.-]+", "-", path.name, flags=re.ASCII).strip("-.") or "model"
        return _of_files(path, repository=f"local/{slug}", source=f"file:{path}", whole=True)


def from_snapshot(path: Path, repository: str) -> Facts:
    """The facts of a repository in the hub's cache, whose directory `path` is named after its commit.

    Weights that are not there yet are counted by their index: they will be downloaded.
    """
    with _readable(path):
        return _of_files(path, repository=repository, revision=path.name, whole=False)


@contextmanager
def _readable(path: Path) -> Generator[None]:
    """What the operating system refuses, as one sentence."""
    try:
        yield
    except OSError as error:
        where = error.filename or path
        raise FactsError(
            f"{where} cannot be read ({error.strerror or error}); let this user read it, or name another directory"
        ) from None


def _of_files(path: Path, *, repository: str, whole: bool, source: str = "", revision: str = "main") -> Facts:
    """whole: every file that the index names must be there."""
    # No deeper: a path such as / has everything below it.
    names = [file.name for file in path.iterdir() if file.is_file()]
    config = with_quantization(_config(path, names), json_file(path / "hf_quant_config.json"))
    index = json_file(path / INDEX)
    chosen = weight_files([*names, *weight_map(index).values()], index, str(path))
    present = [path / name for name in chosen if (path / name).is_file()]
    missing = [name for name in chosen if path / name not in present]
    size = total_size(index) if missing else sum(file.stat().st_size for file in present)
    if missing and (whole or not size):
        others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise FactsError(f"{path} lacks {missing[0]}{others} of the weights that {INDEX} names; download it again")
    seen = read_headers([safetensors_header(file) for file in present])
    return Facts(
        repository=repository,
        config=config,
        weights_bytes=size,
        parameters=None if missing else seen.parameters,
        license=license_of(_card(path)),
        revision=revision,
        source=source,
        task="sentence-similarity" if "modules.json" in names else "",
        output_layer=output_layer(weight_map(index)) if missing else seen.output_layer,
        chat_template=any(name.startswith("chat_template") for name in names)
        or bool(json_file(path / "tokenizer_config.json").get("chat_template")),
    )


def _config(path: Path, names: Iterable[str]) -> Mapping[str, Any]:
    for name in CONFIGS:
        if config := json_file(path / name):
            return config
    raise FactsError(no_config(names, str(path)))


def no_config(names: Iterable[str], where: str) -> str:
    """Why files without a config.json are no model that can be described."""
    names = list(names)
    if "model_index.json" in names:
        return f"{where} is a diffusion model, which makes images; only models that generate text are served"
    if "adapter_config.json" in names:
        return f"{where} is a LoRA adapter; name the model that it was made for as preset, and it among the adapters"
    if any(name.endswith(".gguf") for name in names):
        return f"{where} holds GGUF without a config.json; name the repository that it was converted from"
    return f"{where} has no config.json; choose a repository or directory in the format of transformers"


def json_file(path: Path) -> Mapping[str, Any]:
    """A JSON object, empty where there is no such file. Infinity and NaN are read as Python reads them."""
    return json_object(path.read_bytes(), str(path)) if path.is_file() else {}


def json_object(data: bytes, where: str) -> Mapping[str, Any]:
    try:
        value: object = json.loads(data)
    except RecursionError:
        raise FactsError(f"{where} is nested too deeply; download it again") from None
    except ValueError as error:
        raise FactsError(f"{where} is not JSON ({error}); download it again") from None
    if not isinstance(value, dict):
        raise FactsError(f"{where} is not a JSON object; download it again")
    return cast("Mapping[str, Any]", value)


def weight_map(index: Mapping[str, Any]) -> Mapping[str, str]:
    """Names of tensors to names of files, empty where there is no index; raises FactsError if it is damaged."""
    found = index.get("weight_map")
    if found is None:
        return {}
    files = list(cast("Mapping[str, object]", found).values()) if isinstance(found, Mapping) else [None]
    if not all(isinstance(file, str) and _is_inside(file) for file in files):
        raise FactsError(f"{INDEX} is damaged, its weight_map names no files of the model; download it again")
    return cast("Mapping[str, str]", found)


def _is_inside(file: str) -> bool:
    """Whether a name means a file below the directory that it is read from."""
    return file.isprintable() and file != "" and not file.startswith("/") and ".." not in file.split("/")


def total_size(index: Mapping[str, Any]) -> int:
    """Bytes of all tensors as an index counts them, 0 where it does not."""
    metadata = index.get("metadata")
    size = cast("Mapping[str, object]", metadata).get("total_size") if isinstance(metadata, Mapping) else None
    return int(size) if isinstance(size, int | float) and math.isfinite(size) and size > 0 else 0


def weight_files(names: Iterable[str], index: Mapping[str, Any], where: str) -> list[str]:
    """Which files hold the weights, each tensor once: those of the index, otherwise those beside config.json.

    Copies in other layouts (original/, metal/, consolidated*) do not count. Raises FactsError where there are none.
    """
    if mapped := weight_map(index):
        return sorted(set(mapped.values()))
    names = list(names)
    beside = sorted(name for name in names if name.endswith(".safetensors") and "/" not in name)
    ours = [name for name in beside if not name.startswith(("consolidated", "adapter"))]
    for kind in ([name for name in ours if name.startswith("model")], ours, _starting(beside, "consolidated")):
        if kind:
            return kind
    if "adapter_config.json" in names:
        raise FactsError(no_config(names, where))
    if any(name.endswith(PICKLES) for name in names):
        raise FactsError(
            f"{where} has its weights as pickle only, which can run code when it is read; choose a repository with "
            "safetensors"
        )
    if any(name.endswith(".gguf") for name in names):
        raise FactsError(f"{where} has its weights as GGUF only; name the repository that they were converted from")
    raise FactsError(f"{where} has no *.safetensors; choose a repository or directory with weights")


def _starting(names: list[str], prefix: str) -> list[str]:
    return [name for name in names if name.startswith(prefix)]


def with_quantization(config: Mapping[str, Any], beside: Mapping[str, Any]) -> Mapping[str, Any]:
    """ModelOpt's older checkpoints have their quantization in hf_quant_config.json instead of config.json."""
    found = beside.get("quantization")
    if "quantization_config" in config or not isinstance(found, Mapping):
        return config
    return {**config, "quantization_config": dict(cast("Mapping[str, Any]", found), quant_method="modelopt")}


def safetensors_header(path: Path) -> Mapping[str, Any]:
    """Names, types and shapes of the tensors; format: 8 bytes of length, little-endian, then JSON."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 0 < length <= min(_LARGEST_HEADER, path.stat().st_size - 8):
            raise FactsError(f"{path} is not a whole safetensors file; download it again")
        return json_object(file.read(length), str(path))


def read_headers(headers: Iterable[Mapping[str, Any]]) -> Weights:
    count, plain, output = 0, True, False
    tensors = [item for header in headers for item in header.items() if item[0] != "__metadata__"]
    try:
        for name, tensor in tensors:
            plain = plain and tensor["dtype"] in _FLOATS
            count += math.prod(tensor["shape"])
            output = output or name.endswith(_OUTPUT_LAYERS)
    except (KeyError, TypeError):
        raise FactsError("the header of its safetensors is damaged; download them again") from None
    return Weights(count if plain and count else None, output)


def output_layer(names: Iterable[str]) -> bool | None:
    """Whether the tensors of an index have an output layer; None where there is no index."""
    names = list(names)
    return any(name.endswith(_OUTPUT_LAYERS) for name in names) if names else None


def license_of(card: Mapping[str, Any]) -> str:
    """From the front matter of a README.md, which is the model's card; empty where it says nothing."""
    license = card.get("license")
    named = card.get("license_name")
    if license == "other" and isinstance(named, str):
        return named
    if isinstance(license, list) and license:
        license = cast("list[object]", license)[0]
    return license if isinstance(license, str) else ""


def _card(path: Path) -> Mapping[str, Any]:
    readme = path / "README.md"
    text = readme.read_text(encoding="utf-8", errors="replace") if readme.is_file() else ""
    matter = re.match(r"---\s*\n(.*?)\n---\s*(?:\n|$)", text, flags=re.DOTALL)
    try:
        card = yaml.safe_load(matter[1]) if matter else None
    except (yaml.YAMLError, ValueError, KeyError, AttributeError, RecursionError):
        # A card without a licence that can be read; PyYAML lets all of these through.
        return {}
    return cast("Mapping[str, Any]", card) if isinstance(card, Mapping) else {}
