"""What the licences of models say about commercial use: reads and checks the facts in licenses.yaml."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, TypeAdapter, model_validator

from presets.facts import Fact, read_facts

LICENSES = Path(__file__).parent / "licenses.yaml"


class LicenseTerms(Fact):
    """One licence, as far as a plan warns of it."""

    name: str = Field(min_length=1)
    commercial: Literal["allowed", "conditions", "forbidden", "unknown"]
    """conditions: allowed if `conditions` are kept to. forbidden: not without an agreement with the publisher."""
    conditions: str = ""
    """What is asked of its users, in a sentence for people; empty if nothing is beyond keeping the notice."""
    source: str
    """Where its text stands."""

    @model_validator(mode="after")
    def _restrictions_are_said(self) -> Self:
        if self.commercial != "allowed" and not self.conditions:
            raise ValueError(f"commercial use is {self.commercial!r}: `conditions` says what that asks of people")
        return self


@functools.cache
def licenses() -> dict[str, LicenseTerms]:
    """Every licence by its id, sorted. Read on first use, so that importing this module reads no file."""
    read = TypeAdapter(dict[str, LicenseTerms]).validate_python(read_facts(LICENSES))
    return dict(sorted(read.items()))


def license_terms(license_id: str) -> LicenseTerms:
    """The terms of a licence, in any case of letters; those of `other` for one that is not known.

    >>> license_terms("MIT").commercial
    'allowed'
    >>> license_terms("some-new-licence").commercial
    'unknown'
    """
    return licenses().get(license_id.lower(), licenses()["other"])
