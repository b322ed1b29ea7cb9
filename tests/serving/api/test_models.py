"""The list of models."""

from __future__ import annotations

import time

import pytest
from openai import NotFoundError

from tests.serving.api.service import MODEL, Service


def test_the_workspace_is_the_one_model(service: Service) -> None:
    (model,) = service.openai.models.list()
    assert model.id == MODEL
    assert model.object == "model"
    assert model.owned_by == "modelyard"
    assert isinstance(model.created, int)
    assert time.time() - 60 < model.created <= time.time()
    assert model.to_dict()["root"] == "smollm2-135m-instruct"


def test_a_model_can_be_retrieved_by_its_id(service: Service) -> None:
    assert service.openai.models.retrieve(MODEL) == service.openai.models.list().data[0]


def test_another_model_is_not_found(service: Service) -> None:
    with pytest.raises(NotFoundError) as caught:
        service.openai.models.retrieve("org/model")
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
