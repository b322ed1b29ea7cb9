"""python -m presets.add ORG/MODEL[@REVISION] | DIRECTORY: the command of presets.drafting, by a short name."""

import sys

from presets.drafting.command import main

if __name__ == "__main__":
    sys.exit(main())
