"""Writes every example's plan.txt; `python -m examples --check` only says which are stale."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from examples.plans import folders, render


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m examples", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a plan is stale")
    check: bool = parser.parse_args().check
    stale = [folder for folder in folders(Path(__file__).parent) if _is_stale(folder)]
    for folder in stale:
        if not check:
            (folder / "plan.txt").write_text(render(folder), encoding="utf-8")
        sys.stdout.write(f"{folder.name}: plan.txt {'is stale' if check else 'was written'}\n")
    return 1 if check and stale else 0


def _is_stale(folder: Path) -> bool:
    file = folder / "plan.txt"
    return not file.exists() or file.read_text(encoding="utf-8") != render(folder)


if __name__ == "__main__":
    sys.exit(main())
