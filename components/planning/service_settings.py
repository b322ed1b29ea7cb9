"""What a service changes in place: the same on every target but for where adapters are found."""

from __future__ import annotations

from collections.abc import Callable

from components.planning.config import AdapterDataSource, AdapterSpec, InferenceSpec
from presets.serve_config import AdapterSettings, ApiKey, SamplingDefaults, ServiceSettings

AdapterPlace = Callable[[AdapterDataSource], str | None]
"""The source of an adapter that has passed the rules, in the grammar of presets.adapter_source."""


def service_settings(
    inference: InferenceSpec, api_keys: tuple[ApiKey, ...], source_of: AdapterPlace
) -> ServiceSettings:
    """Of a workspace that serves a preset; adapters by name, so that their order in the file changes nothing."""
    config = inference.config
    adapters = (_adapter(each, source_of) for each in inference.adapters)
    settings = ServiceSettings(
        sampling=SamplingDefaults.model_validate(config.sampling.model_dump(exclude_none=True)),
        request_timeout_seconds=config.request_timeout_seconds,
        api_keys=api_keys,
        adapters=tuple(sorted(adapters, key=lambda adapter: adapter.name)),
    )
    if config.max_waiting_requests is None:
        return settings
    return settings.model_copy(update={"max_waiting_requests": config.max_waiting_requests})


def _adapter(spec: AdapterSpec, source_of: AdapterPlace) -> AdapterSettings:
    source = source_of(spec.source)
    assert spec.source.name is not None, "refused before, by the rules"
    assert source is not None, "refused before, by the rules"
    return AdapterSettings(name=spec.source.name, source=source, strength=float(spec.strength), rank=spec.rank)
