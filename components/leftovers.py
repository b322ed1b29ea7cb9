"""`make down`, after the destroy: ends a Ray that no state knows, because the update that started it was killed."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from components.reconciliation.local_ray import LocalRay


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m components.leftovers", description=__doc__)
    parser.add_argument("--stack", default="dev")
    ray = LocalRay(Path.cwd(), parser.parse_args().stack)
    left = ray.processes()
    if left:
        sys.stdout.write(f"Ending a Ray that an interrupted update started ({len(left)} processes)\n")
    ray.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
