"""Field types of the cluster's config whose rules pydantic has no words for."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

from components.planning.fields import refusal

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_QUANTITY = re.compile(r"[0-9]+(\.[0-9]+)?(m|[kMGTPE]i?)?")


def _namespace(name: str) -> str:
    if _LABEL.fullmatch(name):
        return name
    raise refusal(
        found=f'"{name}"',
        allowed="lower-case letters, digits and -, a letter or digit at both ends, at most 63 characters (DNS-1123)",
        do="write a name such as modelyard-prod",
    )


def _domain(name: str) -> str:
    labels = name.split(".")
    if len(name) <= 253 and len(labels) > 1 and all(map(_LABEL.fullmatch, labels)):
        return name
    raise refusal(
        found=f'"{name}"',
        allowed="a domain in lower case, without a scheme, a port or a wildcard",
        do="write for example llm.example.com; the workspace's name is put in front of it",
    )


def _quantity(text: str) -> str:
    if _QUANTITY.fullmatch(text):
        return text
    raise refusal(
        found=f'"{text}"', allowed="a quantity of Kubernetes", do="write for example 500m for CPUs, 4Gi for memory"
    )


NamespaceName = Annotated[str, AfterValidator(_namespace)]
DomainName = Annotated[str, AfterValidator(_domain)]
Quantity = Annotated[str, AfterValidator(_quantity)]
