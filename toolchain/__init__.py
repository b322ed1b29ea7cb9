"""The bootstrap: finds or builds Pulumi, makes the virtual environments, and hands `pulumi` its environment.

It runs before anything is installed, so it imports the standard library only. `python3 -m toolchain --help` lists what
it does; the Makefile is its one caller.
"""

import sys

PYTHON_MINIMUM = (3, 11)

if sys.version_info < PYTHON_MINIMUM:  # before anything is imported that an older Python cannot even read
    sys.exit(
        "error: {} is Python {}.{}, and Modelyard needs {}.{} or later\n"
        "  do: install one and name it, as in `make PYTHON=python3.12 up`".format(
            sys.executable, *sys.version_info[:2], *PYTHON_MINIMUM
        )
    )
