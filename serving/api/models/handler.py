"""Which models this service has."""

from __future__ import annotations

import time

from serving.api.errors import ModelNotFound
from serving.api.models.protocol import ModelCard, ModelList
from serving.callers.call import current_call


class Models:
    """The models of one workspace, by the ids that requests name."""

    def __init__(self, *, workspace: str, preset: str) -> None:
        card = ModelCard(id=workspace, created=int(time.time()), root=preset)
        self._cards = {card.id: card}
        self.default = card
        """The model of endpoints whose requests name none."""

    def resolve(self, model: str) -> ModelCard:
        """The model with that id; raises ModelNotFound."""
        try:
            return self._cards[model]
        except KeyError:
            raise ModelNotFound(model, sorted(self._cards)) from None

    def list(self) -> ModelList:
        """Those that the caller may use."""
        may_use = current_call().may_use
        return ModelList(data=[self._cards[name] for name in sorted(self._cards) if may_use(name)])
