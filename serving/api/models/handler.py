"""Which models this service has."""

from __future__ import annotations

import time
from dataclasses import dataclass

from serving.adapters.registry import AdapterRegistry
from serving.adapters.slot import Slot
from serving.api.errors import AdapterFailed, InvalidRequest, ModelNotFound, ServiceBusy
from serving.api.models.protocol import ModelCard, ModelList
from serving.callers.call import current_call
from serving.engines.protocol import AdapterUse

_LOADING_RETRY_SECONDS = 5


@dataclass(frozen=True)
class ModelChoice:
    """The model that a request names, be it the workspace's or one of its adapters."""

    id: str
    """As the list of models has it, whichever of its names the request used."""
    _models: Models
    _strength: float | None

    def adapter(self) -> AdapterUse | None:
        """What the engine is to add to its model, None for the model itself. To be asked when the engine is: an
        adapter's version may change in place until then. Raises as Models.choose does."""
        slot = self._models.slot(self.id)
        return None if slot is None else slot.use(self._strength)


class Models:
    """The models of one workspace, by the ids that requests name.

    An adapter has two: `WORKSPACE:NAME`, which the list shows, and its name alone.
    """

    def __init__(
        self,
        *,
        workspace: str,
        preset: str,
        adapters: AdapterRegistry | None = None,
        strength_by_request: bool = True,
    ) -> None:
        self.default = ModelCard(id=workspace, created=int(time.time()), root=preset)
        """The model of endpoints whose requests name none."""
        self._adapters = adapters
        self._strength_by_request = strength_by_request
        """Whether the engine can add less of an adapter for one request than for another."""

    def choose(self, model: str, strength: float | None = None) -> ModelChoice:
        """The model with that id; `strength` is how much of its adapter is added.

        Raises ModelNotAllowed and ModelNotFound; of an adapter that cannot be used, AdapterFailed, or ServiceBusy while
        it loads; and InvalidRequest for a strength without an adapter.
        """
        slot = self.slot(model)
        if strength is not None and not self._strength_by_request:
            raise InvalidRequest(
                "Unsupported parameter 'adapter_strength': this workspace's engine scales an adapter when it loads it; "
                "leave it out.",
                param="adapter_strength",
                code="unsupported_parameter",
            )
        if slot is not None:
            return ModelChoice(self._id(slot), self, strength)
        if strength is not None:
            raise InvalidRequest(
                f"'{model}' is no adapter; leave adapter_strength out, or name an adapter as the model.",
                param="adapter_strength",
                code="invalid_value",
            )
        return ModelChoice(model, self, None)

    def resolve(self, model: str) -> ModelCard:
        """The card of the model with that id; raises as `choose` does."""
        slot = self.slot(model)
        return self.default if slot is None else self._card(slot)

    def slot(self, model: str) -> Slot | None:
        """The adapter with that id, ready for requests; None for the workspace's model itself.

        Raises as `choose` does; ModelNotAllowed before anything else, so that a key learns nothing of other models.
        """
        current_call().require_model(model)
        if model == self.default.id:
            return None
        name = model.removeprefix(f"{self.default.id}:")
        slot = self._adapters.find(name) if self._adapters is not None else None
        if slot is None:
            raise ModelNotFound(model, [card.id for card in self.list().data])
        if slot.version is None and slot.state == "Failed":
            raise AdapterFailed(model, slot.reason, slot.message)
        if slot.version is None:
            raise ServiceBusy(
                503,
                f"The adapter '{model}' is being loaded{f' ({slot.message})' if slot.message else ''}; try again soon.",
                type="service_unavailable_error",
                code="adapter_loading",
                retry_after=_LOADING_RETRY_SECONDS,
            )
        return slot

    def list(self) -> ModelList:
        """The workspace's model and the adapters that requests are answered with now, if the caller may use them."""
        may_use = current_call().may_use
        slots = self._adapters.ready() if self._adapters is not None else []
        cards = [self.default, *(self._card(slot) for slot in slots)]
        return ModelList(data=[card for card in cards if may_use(card.id)])

    def _id(self, slot: Slot) -> str:
        return f"{self.default.id}:{slot.settings.name}"

    def _card(self, slot: Slot) -> ModelCard:
        return ModelCard(id=self._id(slot), created=slot.ready_since, root=slot.settings.source, parent=self.default.id)
