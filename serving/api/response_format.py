"""The wire of response_format, and the grammar that it asks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from serving.api.fields import ApiModel, Text
from serving.grammars import ANY_JSON_OBJECT, check_size, json_of


class TextFormat(ApiModel):
    type: Literal["text"]


class JsonObjectFormat(ApiModel):
    """Any JSON object."""

    type: Literal["json_object"]


class JsonSchema(ApiModel):
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    description: Text | None = None
    json_schema: dict[str, Any] = Field(default_factory=dict, alias="schema")
    strict: bool | None = None
    """No difference here: an answer always fits its schema."""


class JsonSchemaFormat(ApiModel):
    type: Literal["json_schema"]
    json_schema: JsonSchema


class SchemaFormat(JsonSchema):
    """As /v1/responses has it: a schema without the object around it."""

    type: Literal["json_schema"]


def _kind(value: Any) -> str | None:  # noqa: ANN401 - before validation a value is anything
    kind = value.get("type") if isinstance(value, dict) else None
    return f"<{kind}>" if kind in ("text", "json_object", "json_schema") else None


_BY_KIND = Discriminator(
    _kind,
    custom_error_type="unsupported_value",
    custom_error_message="send an object whose 'type' is 'text', 'json_object' or 'json_schema'.",
)

ResponseFormat = Annotated[
    Annotated[TextFormat, Tag("<text>")]
    | Annotated[JsonObjectFormat, Tag("<json_object>")]
    | Annotated[JsonSchemaFormat, Tag("<json_schema>")],
    _BY_KIND,
]
"""Of /v1/chat/completions."""
TextFormatOption = Annotated[
    Annotated[TextFormat, Tag("<text>")]
    | Annotated[JsonObjectFormat, Tag("<json_object>")]
    | Annotated[SchemaFormat, Tag("<json_schema>")],
    _BY_KIND,
]
"""Of /v1/responses."""
AnswerFormat = ResponseFormat | TextFormatOption


@dataclass(frozen=True)
class Form:
    """What an answer is to be like; None: any text."""

    format: AnswerFormat | None
    param: str
    """The parameter that says so."""


def answer_of(wanted: AnswerFormat | None) -> str | None:
    """The expression of a Lark rule for such an answer; None: any text. Raises GrammarRefused."""
    match wanted.json_schema if isinstance(wanted, JsonSchemaFormat) else wanted:
        case JsonObjectFormat():
            return json_of(ANY_JSON_OBJECT)
        case JsonSchema(json_schema=schema):
            check_size([schema])
            return json_of(schema)
        case _:
            return None
