"""Writes placements.txt; `make examples` does it."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.presets.golden.render import render

FILE = Path(__file__).with_name("placements.txt")


def main() -> None:
    text = render()
    if not FILE.exists() or FILE.read_text(encoding="utf-8") != text:
        FILE.write_text(text, encoding="utf-8")
        sys.stdout.write(f"{FILE.name} was written\n")


if __name__ == "__main__":
    main()
