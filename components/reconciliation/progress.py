"""Progress of a running `pulumi up`."""

from __future__ import annotations

import sys


def say(text: str) -> None:
    """One line in Pulumi's output. In one write: the provider's threads would mix halves of lines otherwise."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
