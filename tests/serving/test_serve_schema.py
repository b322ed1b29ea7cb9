"""What planning renders is what Ray Serve's own schema reads, field by field."""

from __future__ import annotations

import importlib
import warnings
from types import ModuleType

import pytest

from components.planning.local_sizing import Machine
from components.planning.render import application_config
from tests.planning.builders import LAPTOP, ONE_GPU, chat, plan_of


@pytest.fixture(scope="module")
def schema() -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Ray's own models use a form that pydantic deprecates
        return importlib.import_module("ray.serve.schema")


@pytest.mark.parametrize("machine", [LAPTOP, ONE_GPU], ids=["cpu", "gpu"])
def test_an_application_passes_through_ray_s_schema_unchanged(machine: Machine, schema: ModuleType) -> None:
    (workspace,) = plan_of(chat(config="sampling: {temperature: 0.2}"), machine).workspaces
    config = application_config(workspace)
    read = schema.ServeApplicationSchema.model_validate(config).model_dump(exclude_unset=True)
    assert read == config, "Ray Serve drops what it does not know without a word"


def test_all_applications_of_a_stack_pass_together(schema: ModuleType) -> None:
    plan = plan_of(
        """
        workspaces:
          - {name: chat, inference: {preset: {name: smollm2-135m-instruct}}}
          - {name: code, inference: {preset: {name: smollm2-360m-instruct}}}
        """
    )
    config = {"applications": [application_config(workspace) for workspace in plan.workspaces]}
    assert len(schema.ServeDeploySchema.model_validate(config).applications) == 2
