"""Where things lie: in the checkout, and in the cache that all checkouts of one person share."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Folders that the bootstrap reads and writes."""

    root: Path
    """The checkout."""
    cache: Path
    """Per person, outside any checkout: a second clone builds and downloads nothing."""

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> "Layout":
        """The checkout that holds this package, and the cache as the XDG base directory specification places it."""
        base = environ.get("XDG_CACHE_HOME") or os.path.join(environ.get("HOME") or str(Path.home()), ".cache")
        return cls(root=Path(__file__).resolve().parent.parent, cache=Path(base) / "modelyard")

    @property
    def private(self) -> Path:
        """What belongs to this checkout and to no commit: state, passphrase, Pulumi's home."""
        return self.root / ".modelyard"

    @property
    def state(self) -> Path:
        """The embedded file backend."""
        return self.private / "state"

    @property
    def passphrase(self) -> Path:
        """The generated passphrase of the embedded backend's stacks."""
        return self.private / "passphrase"

    @property
    def pulumi_home(self) -> Path:
        """Pulumi's logins, plugins and selected stacks while the embedded backend is used."""
        return self.private / "pulumi-home"

    @property
    def venv(self) -> Path:
        """The operator's program, and the tools and tests that run beside it."""
        return self.root / ".venv"

    @property
    def venv_serving(self) -> Path:
        """What runs on GPU nodes, and the tests that run beside it."""
        return self.root / ".venv-serving"
