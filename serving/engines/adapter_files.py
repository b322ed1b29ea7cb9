"""The files of an adapter, as peft's save_pretrained names them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, cast

from safetensors import SafetensorError, safe_open

from serving.engines.protocol import AdapterRefused

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"


def read_config(directory: Path) -> dict[str, Any]:
    """The config of the adapter in `directory`. Raises AdapterRefused."""
    file = directory / CONFIG
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise AdapterRefused("AdapterUnreadable", f"{file} is not there; an adapter of peft has one") from None
    except (OSError, ValueError) as error:
        raise AdapterRefused("AdapterUnreadable", f"{file} cannot be read: {error}") from error
    if not isinstance(config, dict):
        raise AdapterRefused("AdapterUnreadable", f"{file} is no JSON object")
    return cast("dict[str, Any]", config)


@contextmanager
def opened_weights(file: Path, framework: Literal["pt", "np"]) -> Iterator[safe_open]:
    """safetensors' view of a file of weights. Raises AdapterRefused, for what is read from it as well."""
    try:
        with safe_open(file, framework=framework) as opened:
            yield opened
    except FileNotFoundError:
        raise AdapterRefused("AdapterUnreadable", f"{file} is not there; only safetensors are read") from None
    except (OSError, SafetensorError) as error:
        raise AdapterRefused("AdapterUnreadable", f"{file} cannot be read: {error}; fetch it again") from error
