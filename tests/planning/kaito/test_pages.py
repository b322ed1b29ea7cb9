"""The manifests that the page about KAITO shows are read, and mean what the page says."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.docs import pages
from tests.docs.pages import Block
from tests.planning.kaito.reading import read

BLOCKS = pages.page("docs/coming-from-kaito.md").blocks
MANIFESTS = [block for block in BLOCKS if block.language == "yaml" and block.mark == "kaito"]


@pytest.mark.parametrize("block", MANIFESTS, ids=lambda block: str(MANIFESTS.index(block)))
def test_a_manifest_in_the_page_becomes_the_config_below_it(block: Block) -> None:
    below: Any = yaml.safe_load(BLOCKS[BLOCKS.index(block) + 1].text)
    manifests = read(block.text)
    assert manifests.problems == ()
    assert [each.raw for each in manifests.workspaces] == below["config"]["modelyard:workspaces"]


def test_the_page_shows_a_manifest() -> None:
    assert MANIFESTS
