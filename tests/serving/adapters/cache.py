"""Where tests fetch adapters to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from presets.adapter_source import parse_adapter_source
from serving.adapters import fetch as fetching
from serving.adapters.errors import AdapterError
from serving.adapters.fetch import FetchedAdapter
from serving.weights.model import Progress
from tests.serving.adapters.builders import files


@dataclass
class Cache:
    """Fetches into a folder of its own."""

    folder: Path

    def fetch(self, source: str) -> FetchedAdapter:
        self.told: list[Progress] = []
        return fetching.fetch(parse_adapter_source(source), self.folder, self.told.append)

    def refuses(self, source: str) -> AdapterError:
        with pytest.raises(AdapterError) as caught:
            self.fetch(source)
        assert "\n" not in caught.value.message
        half_made = list((self.folder / ".tmp").glob("*"))
        assert not half_made, f"left behind: {half_made}"
        return caught.value


def is_the_adapter(found: FetchedAdapter, content: Mapping[str, bytes] | None = None) -> bool:
    return all((found.path / name).read_bytes() == data for name, data in (content or files()).items())
