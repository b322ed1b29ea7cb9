"""Adapters that come and go by request, beside those of the stack's config."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from presets.serve_config import AdapterSettings
from serving.adapters.registry import AdapterRegistry
from serving.api.adapters.protocol import LoadAdapterRequest, UnloadAdapterRequest
from serving.api.errors import ApiError, InvalidRequest
from serving.callers.call import current_call
from serving.callers.errors import AdminKeyRequired


@dataclass(frozen=True, kw_only=True)
class AdapterAdmin:
    """Loads and unloads adapters for whoever has an admin key."""

    workspace: str
    registry: AdapterRegistry
    replicas: Callable[[], int] = lambda: 1

    def authorize(self) -> None:
        """Raise AdminKeyRequired unless the request has an admin key: where there are no keys, nobody may.

        Whoever may load adapters can have this process read any directory that has one, and ask any registry.
        """
        call = current_call()
        if call.key is None:
            raise AdminKeyRequired(
                "This changes the service for others, and it has no API keys: a key with admin: true in "
                "modelyard:apiKeys may do it."
            )
        call.require_admin()

    async def load(self, request: LoadAdapterRequest) -> str:
        """What vLLM answers, once requests may name it. Raises ApiError, AdapterRefused, EngineUnavailable."""
        name = request.lora_name
        self._one_replica_only()
        if name == self.workspace:
            raise InvalidRequest(
                f"'{name}' is the model without adapters; choose another name.", param="lora_name", code="invalid_value"
            )
        known = self.registry.find(name)
        if known is not None and not known.by_request:
            raise _of_the_config(name)
        # One that the engine has lost is there by name only: nothing would be replaced.
        taken = known is not None and (known.version is not None or known.loads > 0)
        if taken and not request.load_inplace:
            raise InvalidRequest(
                f"The adapter '{name}' is loaded already; send load_inplace: true to put this one in its place.",
                param="lora_name",
                code="adapter_already_loaded",
            )
        strength = 1.0 if request.strength is None else request.strength
        settings = AdapterSettings(name=name, source=request.source(), strength=strength, rank=request.rank)
        await self.registry.load(settings)
        return f"Success: LoRA adapter '{name}' added successfully."

    def unload(self, request: UnloadAdapterRequest) -> str:
        """What vLLM answers; requests that run are finished. Raises ApiError."""
        name = request.lora_name
        self._one_replica_only()
        known = self.registry.find(name)
        if known is None:
            message = f"There is no adapter '{name}' to unload."
            raise ApiError(404, message, type="invalid_request_error", param="lora_name", code="adapter_not_loaded")
        if not known.by_request:
            raise _of_the_config(name)
        self.registry.unload(name)
        return f"Success: LoRA adapter '{name}' removed successfully."

    def _one_replica_only(self) -> None:
        if (replicas := self.replicas()) > 1:
            message = (
                f"This workspace has {replicas} replicas, and a request reaches one of them; write the adapter into "
                "inference.adapters of the stack's config, which all of them take over in place."
            )
            raise ApiError(409, message, type="invalid_request_error", code="several_replicas")


def _of_the_config(name: str) -> InvalidRequest:
    return InvalidRequest(
        f"The adapter '{name}' is one of the stack's config; change inference.adapters there, in place.",
        param="lora_name",
        code="adapter_already_loaded",
    )
