"""The grammar of adapters' sources: what is accepted, in which one spelling, and what is said about the rest."""

from __future__ import annotations

import pytest

from presets.adapter_source import parse_adapter_source

DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "spelling"),
    [
        ("oci:registry.example.com/adapters/polite:1.0", "oci:registry.example.com/adapters/polite:1.0"),
        ("oci:localhost:5000/polite", "oci:localhost:5000/polite:latest"),
        (f"oci:registry.example.com/polite@{DIGEST}", f"oci:registry.example.com/polite@{DIGEST}"),
        (f"oci:registry.example.com/polite:1@{DIGEST}", f"oci:registry.example.com/polite:1@{DIGEST}"),
        ("oci:me/polite:1", "oci:docker.io/me/polite:1"),
        ("oci:polite", "oci:docker.io/library/polite:latest"),
        ("hf:org/polite@main", "hf:org/polite@main"),
        ("file:/mnt/adapters//polite/", "file:/mnt/adapters/polite"),
    ],
)
def test_a_source_has_one_spelling(text: str, spelling: str) -> None:
    assert str(parse_adapter_source(text)) == spelling
    assert parse_adapter_source(spelling) == parse_adapter_source(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "begins with oci:, hf: or file:"),
        ("pypi:adapter==1", "begins with oci:, hf: or file:"),
        ("https://example.com/polite.zip", "begins with oci:, hf: or file:"),
        ("docker://registry.example.com/polite:1", "write oci:registry.example.com/polite:1"),
        ("registry.example.com/polite:1", "write oci:registry.example.com/polite:1"),
        ("org/polite", "write hf:org/polite"),
        ("/mnt/polite", "write file:/mnt/polite"),
        ("oci:Registry/Polite", "oci:REGISTRY/REPOSITORY:TAG"),
        ("oci:registry.example.com/polite@sha256:12", "oci:REGISTRY/REPOSITORY:TAG"),
        ("hf:polite", "hf:ORG/MODEL"),
        ("file:polite", "absolute directory"),
    ],
)
def test_what_is_no_source_is_refused_with_the_right_form(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=r"oci:|hf:|file:") as caught:
        parse_adapter_source(text)
    assert says in str(caught.value)
