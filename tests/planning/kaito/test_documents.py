"""Files as kubectl reads them: documents, lists and what YAML makes of values."""

from __future__ import annotations

import pytest

from tests.planning.kaito.reading import read, the_workspace, workspace

BLOCK = workspace(name="a")


def names(*texts: str) -> list[str]:
    manifests = read(*texts)
    assert manifests.problems == ()
    return [each.place.workspace for each in manifests.workspaces]


@pytest.mark.parametrize(
    "text",
    [
        f"---\n{BLOCK}---\n{workspace(name='b')}",
        f"{BLOCK}---\n---\n# nothing here\n---\n{workspace(name='b')}---\n",
        f"# Copyright\n\n--- # first\n{BLOCK}--- \n{workspace(name='b')}",
        f"%YAML 1.1\n---\n{BLOCK}---\n{workspace(name='b')}",
        f"{BLOCK}---\r\n{workspace(name='b')}".replace("\n", "\r\n").replace("\r\r", "\r"),
    ],
)
def test_a_file_may_hold_several_documents_and_empty_ones(text: str) -> None:
    assert names(text) == ["a", "b"]


def test_three_dashes_within_a_text_do_not_end_a_document() -> None:
    assert names(f"{BLOCK}# a --- b\n") == ["a"]


@pytest.mark.parametrize("kind", ["List", "WorkspaceList"])
def test_a_list_is_read_as_its_items(kind: str) -> None:
    items = [workspace(name=name).replace("\n", "\n    ").strip() for name in ("a", "b")]
    version = "v1" if kind == "List" else "kaito.sh/v1beta1"
    text = f"apiVersion: {version}\nkind: {kind}\nitems:\n" + "".join(f"  - {item}\n" for item in items)
    assert names(text) == ["a", "b"]
    if kind == "WorkspaceList":
        bare = text.replace("- apiVersion: kaito.sh/v1beta1\n    kind: Workspace\n    ", "- ")
        assert names(bare) == ["a", "b"], "the API server leaves version and kind out of such items"


def test_a_syntax_error_is_said_with_its_line_in_the_file_and_hides_no_other_document() -> None:
    manifests = read(f"{BLOCK}---\nkind: Workspace\nmetadata: {{name: b\n---\n{workspace(name='c')}")
    (problem,) = manifests.problems
    assert problem.path == "ws.yaml: line 9"
    assert [each.place.workspace for each in manifests.workspaces] == ["a", "c"]


def test_anchors_and_merges_are_followed() -> None:
    text = workspace(resource="&r {instanceType: x, labelSelector: {matchLabels: &l {a: b}}}")
    assert the_workspace(text.replace("matchLabels: &l {a: b}", "matchLabels: {<<: {a: b}, c: d}"))["resource"][
        "labelSelector"
    ] == {"matchLabels": {"a": "b", "c": "d"}}


def test_a_label_that_looks_like_a_date_stays_text() -> None:
    text = workspace(resource="{instanceType: x, labelSelector: {matchLabels: {since: 2026-08-21}}}")
    assert the_workspace(text)["resource"]["labelSelector"] == {"matchLabels": {"since": "2026-08-21"}}


def test_a_file_of_plain_text_is_not_repeated_in_the_message() -> None:
    (problem,) = read("hf_abcdefghijklmnop").problems
    assert "hf_abc" not in str(problem)
