"""What the request bodies of several endpoints have in common."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationInfo,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import PydanticCustomError, core_schema

from serving.engines.protocol import MAX_LOGPROBS

_INT64 = 2**63
_MAX_METADATA = 16
"""Pairs, as in OpenAI's API."""
MAX_CHOICES = 128
"""Of one answer, as in OpenAI's API."""
_MAX_TOKENS_NAMED = 1024
"""Tokens that a request treats in a way of their own."""
_TOKEN_ID = re.compile(r"[0-9]{1,10}")


class ApiModel(BaseModel):
    """A request body: nothing in it is ignored, and "1" is no number."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)


class Unsupported:
    """Marks a parameter of OpenAI's API that this service does not have: only values that ask for nothing are taken.

    Dropping it in silence would give a caller something other than what was asked for.
    """

    def __init__(self, *neutral: object, because: str) -> None:
        self.neutral = neutral
        """The values that ask for nothing; null is always one more."""
        self._because = because

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(self._check)

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"enum": [None, *self.neutral], "description": f"Not supported: {self._because}."}

    def _check(self, value: object) -> object:
        # True equals 1 in Python, but not in JSON.
        if value is None or any(
            value == neutral and isinstance(value, bool) == isinstance(neutral, bool) for neutral in self.neutral
        ):
            return value
        ways = " or ".join(json.dumps(neutral) for neutral in self.neutral)
        way_out = f"leave it out or set it to {ways}" if ways else "leave it out"
        raise PydanticCustomError(
            "unsupported_parameter", "{because}; {way_out}.", {"because": self._because, "way_out": way_out}
        )


def _unicode(text: str) -> str:
    """JSON can say half a surrogate pair, which no tokenizer takes."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"it is no valid Unicode: half a surrogate pair at character {error.start}") from None
    return text


def check_writable(value: Any) -> None:  # noqa: ANN401 - a JSON value
    """Raises ValueError for a JSON value that cannot be written out again, as a template or an answer does."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("a text in it is no valid Unicode: it has half a surrogate pair") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _writable(value: dict[str, Any]) -> dict[str, Any]:
    check_writable(value)
    return value


def _one_or_more(value: Any) -> Any:  # noqa: ANN401 - before validation a value is anything
    return [value] if isinstance(value, str | int) else value


def _few(value: Any) -> Any:  # noqa: ANN401 - before validation a value is anything
    if isinstance(value, dict) and len(value) > _MAX_METADATA:
        raise ValueError(f"it has {len(value)} pairs, but may have {_MAX_METADATA}")
    return value


def _bias_by_token(value: Any) -> Any:  # noqa: ANN401 - before validation a value is anything
    """JSON has texts for keys. Refused at the first that is wrong, as long lists are."""
    if not isinstance(value, dict):
        return value
    if len(value) > _MAX_TOKENS_NAMED:
        raise ValueError(f"it has {len(value)} tokens, but may have {_MAX_TOKENS_NAMED}")
    biases: dict[int, float] = {}
    for key, bias in value.items():
        if not _TOKEN_ID.fullmatch(key):
            raise ValueError(f"its keys are token ids, found {json.dumps(key[:60])}")
        if isinstance(bias, bool) or not isinstance(bias, int | float) or not -100 <= bias <= 100:
            raise ValueError(f"token {key} has a bias that is no number from -100 to 100")
        biases[int(key)] = float(bias)
    return biases


Text = Annotated[str, AfterValidator(_unicode)]
JsonObject = Annotated[dict[str, Any], AfterValidator(_writable)]
"""A schema, or whatever else goes on as it came."""
Temperature = Annotated[float, Field(ge=0, le=2)]
TopP = Annotated[float, Field(ge=0, le=1)]
TopK = Annotated[int, Field(ge=0)]
"""Extension of OpenAI's API: sample from this many tokens only; 0 is all."""
MinP = Annotated[float, Field(ge=0, le=1)]
"""Extension, as in vLLM: leave out tokens less likely than this share of the likeliest."""
Penalty = Annotated[float, Field(ge=-2, le=2)]
ReasoningEffort = Literal["none", "minimal", "low", "medium", "high", "xhigh"]
"""Works as far as the model's chat template has a setting for it."""
RepetitionPenalty = Annotated[float, Field(ge=0.01, le=100)]
"""Extension, as in vLLM and transformers; beyond these bounds logits overflow."""
TopLogprobs = Annotated[int, Field(ge=0, le=MAX_LOGPROBS)]
Seed = Annotated[int, Field(ge=-_INT64, lt=_INT64)]
MaxTokens = Annotated[int, Field(ge=1)]
MinTokens = Annotated[int, Field(ge=0)]
"""Extension, as in vLLM: the answer does not end by itself before."""
Choices = Annotated[int, Field(ge=1, le=MAX_CHOICES)]
AdapterStrength = Annotated[float, Field(ge=0, le=1)]
"""Extension of OpenAI's API: how much of the adapter is added to the model; None: as much as the workspace says."""
StopString = Annotated[Text, Field(min_length=1, max_length=256)]
Stop = Annotated[
    list[StopString],
    Field(max_length=4),
    BeforeValidator(_one_or_more, json_schema_input_type=StopString | list[StopString]),
]
TokenId = Annotated[int, Field(ge=0)]
# A list that may be long is refused at its first wrong item: a message for each of a million keeps the process busy for
# half a minute, and every other stream waits.
TokenIds = Annotated[list[TokenId], Field(min_length=1, fail_fast=True)]
OneOrMoreTokenIds = Annotated[TokenIds, BeforeValidator(_one_or_more, json_schema_input_type=int | list[int])]
StopTokenIds = Annotated[list[TokenId], Field(max_length=_MAX_TOKENS_NAMED, fail_fast=True)]
"""Extension, as in vLLM: tokens that end the answer beside the model's own."""
LogitBias = Annotated[
    dict[int, float],
    BeforeValidator(_bias_by_token, json_schema_input_type=dict[str, float]),
]
Metadata = Annotated[dict[Text, Text], BeforeValidator(_few)]
WITHOUT_EFFECT = "Accepted without effect."
"""The description of a parameter that changes nothing about an answer: of what is not done here, or done anyway."""
NoEffect = Field(description=WITHOUT_EFFECT)


class StreamOptions(ApiModel):
    """What a stream tells besides its text."""

    include_usage: bool | None = None
    """A last chunk, without choices, carries the usage."""
    include_obfuscation: Annotated[bool | None, Unsupported(False, because="chunks are not padded")] = None


def stream_options_of_a_stream(value: StreamOptions | None, info: ValidationInfo) -> StreamOptions | None:
    """Refuse options of a stream for an answer that is none, as OpenAI does; `stream` is declared before them."""
    if value is not None and not info.data.get("stream"):
        raise ValueError('it is for streams; send "stream": true with it')
    return value
