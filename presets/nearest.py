"""Did you mean: the known names nearest to one that is not known."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(word: str, names: Iterable[str], limit: int = 3) -> tuple[str, ...]:
    """At most `limit` of `names` that look like `word`, best first, whatever their case; empty if none does.

    >>> nearest("SmolLM-135M-instruct", ["phi-3-mini-4k-instruct", "smollm2-135m-instruct"])
    ('smollm2-135m-instruct',)
    >>> nearest("max_context", ["maxContext", "maxSequences"], limit=1)
    ('maxContext',)
    """
    by_plain = {_plain(name): name for name in names}
    return tuple(by_plain[plain] for plain in difflib.get_close_matches(_plain(word), by_plain, n=limit, cutoff=0.6))


def _plain(name: str) -> str:
    return name.lower().replace("_", "")
