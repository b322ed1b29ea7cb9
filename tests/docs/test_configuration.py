"""The reference of the configuration is that of the models which check it."""

from __future__ import annotations

import doctest
import re

from components.planning.cluster_config import KubernetesSpec
from components.planning.config import RaySpec, WorkspaceSpec
from docs import configuration_reference
from presets.catalog import catalog


def test_the_reference_is_fresh() -> None:
    page = configuration_reference.PAGE.read_text(encoding="utf-8")
    assert page == configuration_reference.renew(page), "run .venv/bin/python -m docs.configuration_reference"


def test_every_field_and_every_preset_is_in_it() -> None:
    written = "\n".join(configuration_reference.reference())
    fields = [
        field.alias for model in (WorkspaceSpec, KubernetesSpec, RaySpec) for field in model.model_fields.values()
    ]
    for name in [*fields, *catalog()]:
        assert f"| `{name}` |" in written


def test_every_field_says_what_it_means() -> None:
    silent = [
        line for line in "\n".join(configuration_reference.reference()).splitlines() if re.search(r"\|\s*\|$", line)
    ]
    assert not silent, "a docstring under the field is what the page prints"


def test_the_examples_in_docstrings_are_true() -> None:
    assert doctest.testmod(configuration_reference).failed == 0
