"""How a request wants its tokens chosen: what it says, and the workspace's defaults for the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

from presets.serve_config import SamplingDefaults
from serving.api.errors import InvalidRequest
from serving.engines.protocol import Sampling

T = TypeVar("T")


class SamplingChoice(Protocol):
    """The sampling parameters of a request; None is the workspace's default."""

    @property
    def temperature(self) -> float | None: ...
    @property
    def top_p(self) -> float | None: ...
    @property
    def top_k(self) -> int | None: ...
    @property
    def min_p(self) -> float | None: ...
    @property
    def repetition_penalty(self) -> float | None: ...
    @property
    def presence_penalty(self) -> float | None: ...
    @property
    def frequency_penalty(self) -> float | None: ...
    @property
    def logit_bias(self) -> Mapping[int, float] | None: ...
    @property
    def seed(self) -> int | None: ...


@dataclass(frozen=True, kw_only=True)
class SamplingParameters:
    """A `SamplingChoice` for requests that have only some of the parameters."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: Mapping[int, float] | None = None
    seed: int | None = None


def sampling_of(request: SamplingChoice, defaults: SamplingDefaults, vocab_size: int) -> Sampling:
    """Raises InvalidRequest for a bias on a token that the model does not have."""
    bias = request.logit_bias or {}
    if bias:
        refuse_unknown_tokens("logit_bias", max(bias), vocab_size)
    temperature = _or(request.temperature, defaults.temperature)
    top_p = _or(request.top_p, defaults.top_p)
    if top_p == 0:
        # The smallest nucleus is the likeliest token alone, which is what temperature 0 means.
        temperature, top_p = 0.0, 1.0
    return Sampling(
        temperature=temperature,
        top_p=top_p,
        top_k=_or(request.top_k, defaults.top_k),
        min_p=_or(request.min_p, defaults.min_p),
        repetition_penalty=_or(request.repetition_penalty, defaults.repetition_penalty),
        presence_penalty=_or(request.presence_penalty, 0.0),
        frequency_penalty=_or(request.frequency_penalty, 0.0),
        logit_bias=bias,
        seed=request.seed,
    )


def refuse_unknown_tokens(param: str, largest: int, vocab_size: int) -> None:
    """Raises InvalidRequest if the largest token of a parameter is none of the model's."""
    if largest >= vocab_size:
        raise InvalidRequest(
            f"'{param}' has token {largest}, but this model's tokens are below {vocab_size}.",
            param=param,
            code="invalid_value",
        )


def _or(asked: T | None, default: T) -> T:
    return default if asked is None else asked
