"""Finds and runs the examples in docstrings."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from types import ModuleType


def modules_of(*packages: ModuleType) -> list[str]:
    """Names of all modules below the packages; those that run when they are imported are left out."""
    found = [m.name for package in packages for m in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")]
    return sorted(name for name in found if not name.endswith(".__main__"))


def failures(module: str) -> int:
    """How many examples of the module are not true."""
    return doctest.testmod(importlib.import_module(module)).failed
