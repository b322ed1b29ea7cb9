"""Every link of a page leads somewhere, and every target of make that a page names exists."""

from __future__ import annotations

import doctest
import re

import pytest

from tests.docs import pages
from tests.docs.pages import PROJECT, Page

TARGETS = set(re.findall(r"^([a-z][a-z-]*):", (PROJECT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
_MAKE = re.compile(r"(?:^|[;&|(]\s*)make((?: +[A-Z]+=\S+)*)((?: +[a-z][a-z-]*)*)")


@pytest.mark.parametrize("page", pages.pages(), ids=str)
def test_every_relative_link_leads_to_a_file_and_a_heading(page: Page) -> None:
    for link in page.links():
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.path.parent / path).resolve() if path else page.path
        assert target.exists(), f"{page} links to {link}, which is not there"
        if anchor:
            assert anchor in Page(target).anchors, f"{page} links to {link}, and no heading there is called so"


@pytest.mark.parametrize("page", pages.pages(), ids=str)
def test_every_make_target_that_is_named_exists(page: Page) -> None:
    shell = [line for block in page.blocks if block.language == "sh" for line in block.text.splitlines()]
    for text in [*page.inline_code, *shell]:
        for targets in (match[2].split() for match in _MAKE.finditer(text)):
            assert set(targets) <= TARGETS, f"{page} says `{text}`, and the Makefile has no {set(targets) - TARGETS}"


@pytest.mark.parametrize("page", pages.pages(), ids=str)
def test_no_page_names_a_place_of_one_machine(page: Page) -> None:
    assert not re.search(r"/(?:work|root|farm|home/\w+)/", page.text), "a path that only one machine has"


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, ahead = set[str](), [PROJECT / "README.md"]
    while ahead:
        here = Page(ahead.pop())
        if str(here) in reached:
            continue
        reached.add(str(here))
        targets = [link.partition("#")[0] for link in here.links() if not re.match(r"[a-z]+:", link)]
        found = [(here.path.parent / target).resolve() for target in targets if target.endswith(".md")]
        ahead += [target for target in found if target.exists()]
    assert {str(each) for each in pages.pages()} - reached == set(), "pages that nobody will find"


def test_the_examples_in_docstrings_are_true() -> None:
    assert doctest.testmod(pages).failed == 0
