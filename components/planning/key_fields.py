"""Field types of API keys. What is refused is not repeated, since it may be a key, be it in the wrong place."""

from __future__ import annotations

import hashlib
import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator

from components.planning.fields import refusal

MIN_LENGTH = 16
"""Characters. SHA-256 is quick to compute: a short key, or one that a person thought up, can be found by trying."""

UNREAD_HASH = "0" * 64
"""Stands for the hash of a secret that only Pulumi can read. No key has it."""

MAKE_ONE = "make one with: openssl rand -hex 32"
SET_IT = "set it with: pulumi config set --secret --path 'modelyard:apiKeys[0].key'"


class UnreadSecret:
    """A value that is there and encrypted, for a plan without Pulumi."""


def _name(name: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", name):
        return name
    raise refusal(
        found=f"a name of {len(name)} characters",
        allowed="letters, digits, dots, - and _, a letter or a digit first, at most 63 characters",
        do="name whom the key is given to, for example team-a",
    )


def _hash_of(key: object) -> object:
    if key is None:
        return None
    if isinstance(key, UnreadSecret):
        return UNREAD_HASH
    if not isinstance(key, str):
        raise refusal(found=kind_of(key), allowed="text", do=f"put it in quotes; {SET_IT}")
    if len(key) < MIN_LENGTH:
        allowed = f"at least {MIN_LENGTH} characters, drawn at random"
        raise refusal(found=f"a key of {len(key)} characters", allowed=allowed, do=MAKE_ONE)
    if not re.fullmatch("[!-~]+", key):
        allowed = "letters, digits and signs of ASCII, without spaces: it is sent in an HTTP header"
        raise refusal(found="a key with other characters", allowed=allowed, do=MAKE_ONE)
    return hashlib.sha256(key.encode()).hexdigest()


def kind_of(value: object) -> str:
    """What stands in a place, without saying it."""
    match value:
        case None:
            return "nothing"
        case str():
            return "text"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case list():
            return "a list"
        case _:
            return "a map"


def _sha256(digest: str) -> str:
    if re.fullmatch("[0-9a-fA-F]{64}", digest):
        return digest.lower()
    raise refusal(
        found=f"{len(digest)} characters",
        allowed="a SHA-256 in 64 hexadecimal digits",
        do='compute it with: printf %s "$KEY" | sha256sum',
    )


KeyName = Annotated[str, AfterValidator(_name)]
KeyText = Annotated[str | None, BeforeValidator(_hash_of)]
"""What is kept of it is its SHA-256 alone."""
Sha256 = Annotated[str, AfterValidator(_sha256)]
