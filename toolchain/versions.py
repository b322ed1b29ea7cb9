"""Every version that the bootstrap pins, in one place."""

PULUMI = "3.259.0"
"""The CLI that is installed or built where none is found; pyproject.toml pins the Python SDK to the same."""

PULUMI_MINIMUM = (3, 259)
"""A CLI on PATH is accepted from this minor version up."""

LANGUAGE_HOST = "3.187.0"
"""What toolchain/language-python/go.mod builds; the language host's version need not be the CLI's."""

PULUMI_KUBERNETES = "4.25.0"
"""The provider of targets kubernetes and aks; components/cluster_objects.py asks for the same."""

KUBERNETES = "1.36.3"
ETCD = "3.6.16"
KWOK = "0.8.0"
KARPENTER = "1.14.1"
KUBERAY = "1.6.1"
"""The programs that `make test-cluster` runs; the go.mod files beside this module build the same."""

GO_MINIMUM = (1, 21)
"""From here on Go fetches, by itself, the newer Go that a go.mod asks for."""

UV = "0.13.9"
"""Installed into a private environment where uv is not on PATH."""

UV_MINIMUM = (0, 8)
"""A uv on PATH is accepted from this version up: it must read the locks' markers and hashes."""


def parse(text: str) -> tuple[int, ...] | None:
    """The first dotted number in `text`, or None: programs print their version in a sentence of their own.

    >>> parse("v3.259.0"), parse("uv 0.13.9 (x86_64)"), parse("3.260.0-dev.0"), parse("command not found")
    ((3, 259, 0), (0, 13, 9), (3, 260, 0), None)
    """
    for word in text.replace("go version go", "").split():
        parts = word.lstrip("v").split("-")[0].split("+")[0].split(".")
        if len(parts) > 1 and all(part.isdigit() for part in parts):
            return tuple(int(part) for part in parts)
    return None


def dotted(version: tuple[int, ...]) -> str:
    """
    >>> dotted((3, 259))
    '3.259'
    """
    return ".".join(str(part) for part in version)
