"""Every answer that is no success, in the shape of OpenAI's errors.

    ApiError                    the body {"error": {"message", "type", "param", "code"}} and a status
    ├── InvalidRequest          400; the caller can correct it, `param` names the parameter
    │   ├── ContextLengthExceeded
    │   └── PreviousResponseNotFound
    ├── ModelNotFound           404
    ├── AdapterFailed           404
    ├── ResponseNotFound        404
    └── ServiceBusy             429 and 503, with Retry-After

Handlers raise these, the engine's own exceptions and those of serving.callers; `to_api_error` turns whatever was raised
into an ApiError, for a response or, once a stream has begun, for an event in it.
"""

from __future__ import annotations

import logging
from math import ceil
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import BaseRoute, Match

from serving.api.connection import ClientDisconnected
from serving.api.error_codes import ErrorCode
from serving.api.validation import describe_validation
from serving.callers.errors import (
    AdminKeyRequired,
    CallRefused,
    InvalidApiKey,
    LimitReached,
    ModelNotAllowed,
    RequestTimedOut,
)
from serving.engines.protocol import AdapterRefused, EngineOverloaded, EngineUnavailable, RequestFailed

logger = logging.getLogger(__name__)

_MAX_RETRY_AFTER = 120
"""Seconds; OpenAI's client gives up instead of waiting for longer."""
CLIENT_CLOSED_REQUEST = 499
"""nginx's status for a client that went away; nobody reads the answer, but metrics count it."""
_LONGEST_TEXT = 2000
"""Characters of a message: it may repeat what a request said, and that may be megabytes."""


class ErrorDetail(BaseModel):
    """What went wrong; `code` is stable, `message` is for people."""

    message: str
    type: str
    param: str | None
    code: ErrorCode


class ErrorBody(BaseModel):
    """The body of every answer that is no success."""

    error: ErrorDetail


ERROR_RESPONSES: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorBody},
    "5XX": {"model": ErrorBody},
}
"""For the `responses` of routes, so that the OpenAPI document tells the truth about errors."""


class ApiError(Exception):
    """An answer that is no success."""

    def __init__(self, status: int, message: str, *, type: str, code: ErrorCode, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers: dict[str, str] = {}
        self.detail = ErrorDetail(
            message=_presentable(message), type=type, param=None if param is None else _presentable(param), code=code
        )

    def body(self) -> str:
        return ErrorBody(error=self.detail).model_dump_json()

    def response(self) -> Response:
        return Response(self.body(), self.status, self.headers, media_type="application/json")


class InvalidRequest(ApiError):
    """The request cannot be answered as it is."""

    def __init__(self, message: str, *, param: str | None, code: ErrorCode) -> None:
        super().__init__(400, message, type="invalid_request_error", param=param, code=code)


class ContextLengthExceeded(InvalidRequest):
    """The prompt, or the prompt with what is to be generated, does not fit into the model's context."""

    def __init__(self, message: str, *, param: str) -> None:
        super().__init__(message, param=param, code="context_length_exceeded")


class ModelNotFound(ApiError):
    """No model of this service has that id."""

    def __init__(self, model: str, known: list[str]) -> None:
        message = f"The model '{model}' does not exist; this service has: {', '.join(known)}."
        super().__init__(404, message, type="invalid_request_error", param="model", code="model_not_found")


_NOT_KEPT = (
    "responses are kept in the memory of one replica: this one was not stored, was deleted, has made room for newer "
    "ones, or belongs to another replica or to one that has ended"
)


class ResponseNotFound(ApiError):
    """No response with that id is in this replica's memory."""

    def __init__(self, response_id: str) -> None:
        message = f"Response with id '{response_id}' not found: {_NOT_KEPT}. Send the request again."
        super().__init__(404, message, type="invalid_request_error", param="response_id", code="response_not_found")


class PreviousResponseNotFound(InvalidRequest):
    """The response that a request goes on from is not in this replica's memory; 400, as OpenAI has it."""

    def __init__(self, response_id: str) -> None:
        super().__init__(
            f"Previous response with id '{response_id}' not found: {_NOT_KEPT}. "
            "Send the whole conversation as 'input'.",
            param="previous_response_id",
            code="previous_response_not_found",
        )


class AdapterFailed(ApiError):
    """The adapter is wanted, but this service could not load it; asking again does not help."""

    def __init__(self, model: str, reason: str, message: str) -> None:
        text = f"The adapter '{model}' could not be loaded: {reason}: {message}"
        super().__init__(404, text, type="invalid_request_error", param="model", code="adapter_failed")


class ServiceBusy(ApiError):
    """Try again later."""

    def __init__(self, status: int, message: str, *, type: str, code: ErrorCode, retry_after: int) -> None:
        super().__init__(status, message, type=type, code=code)
        self.headers = {"Retry-After": str(min(max(retry_after, 1), _MAX_RETRY_AFTER))}


def to_api_error(error: Exception) -> ApiError:
    """The answer to whatever was raised; the unforeseen is logged and becomes a 500 without its details."""
    match error:
        case ApiError():
            return error
        case CallRefused():
            return _from_refusal(error)
        case EngineOverloaded():
            return ServiceBusy(
                429, str(error), type="rate_limit_error", code="engine_overloaded", retry_after=error.retry_after
            )
        case EngineUnavailable():
            return ServiceBusy(
                503,
                str(error),
                type="service_unavailable_error",
                code="engine_unavailable",
                retry_after=error.retry_after,
            )
        case AdapterRefused():
            return InvalidRequest(f"{error.reason}: {error.message}", param="lora_path", code="adapter_refused")
        case RequestFailed():
            logger.error("a request failed in the engine: %s", error)
            return ApiError(500, str(error), type="server_error", code="generation_failed")
        case RequestValidationError():
            found = describe_validation(error.errors())
            return InvalidRequest(found.message, param=found.param, code=found.code)
        case _:
            logger.error("a request failed", exc_info=error)
            message = "The service failed to answer; the replica's log has the reason."
            return ApiError(500, message, type="server_error", code="internal_error")


def _from_refusal(error: CallRefused) -> ApiError:
    """What a caller may not do, or not now; statuses and types as OpenAI has them."""
    message, invalid = str(error), "invalid_request_error"
    match error:
        case InvalidApiKey():
            answer = ApiError(401, message, type=invalid, code="invalid_api_key")
            answer.headers = {"WWW-Authenticate": "Bearer"}
        case ModelNotAllowed():
            answer = ApiError(403, message, type=invalid, param="model", code="model_not_allowed")
        case AdminKeyRequired():
            answer = ApiError(403, message, type=invalid, code="admin_key_required")
        case LimitReached():
            kind, wait = error.limit, ceil(error.retry_after)
            answer = ServiceBusy(429, message, type=kind, code="rate_limit_exceeded", retry_after=wait)
        case RequestTimedOut():
            answer = ApiError(504, message, type="timeout_error", code="request_timeout")
            # OpenAI's clients would send it again, and it would take as long again.
            answer.headers = {"x-should-retry": "false"}
        case _:
            raise TypeError(f"no answer to {type(error).__name__}") from error
    return answer


def _from_http_exception(request: Request, error: HTTPException) -> ApiError:
    """FastAPI's and Starlette's own answers: unknown path, wrong method, a body that is too large."""
    path = request.url.path
    code: ErrorCode
    match error.status_code:
        case 404:
            message, code = (
                f"Unknown URL: {request.method} {path}; {_docs(request)} lists the endpoints.",
                "unknown_url",
            )
        case 405:
            error.headers = {"Allow": ", ".join(_allowed_methods(request))}
            message = f"{request.method} is not allowed on {path}; use {error.headers['Allow']}."
            code = "method_not_allowed"
        case 408:
            message, code = str(error.detail), "body_timeout"
        case 413:
            message, code = str(error.detail), "request_too_large"
        case 400 if error.__cause__ is not None:
            message, code = f"The body is not valid JSON: {_unreadable(error.__cause__)}.", "invalid_json"
        case _:
            message, code = str(error.detail), "http_error"
    answer = ApiError(error.status_code, message, type="invalid_request_error", code=code)
    answer.headers = dict(error.headers or {})
    return answer


def _allowed_methods(request: Request) -> list[str]:
    """Starlette knows those of the first route of a path alone, but a path may have a route for each method."""
    routes: list[BaseRoute] = request.app.routes
    return [
        method
        for method in ("GET", "HEAD", "POST", "DELETE")
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in routes)
    ]


def _unreadable(cause: BaseException) -> str:
    """What FastAPI keeps to itself: why a body could not be parsed."""
    match cause:
        case UnicodeDecodeError():
            return f"byte {cause.start} is not UTF-8"
        case RecursionError():
            return "it is nested too deeply"
        case _:
            return str(cause).split(";")[0]


def _presentable(text: str) -> str:
    """A text that can be sent: not too long, and no half of a surrogate pair, which JSON can say but UTF-8 cannot."""
    if len(text) > _LONGEST_TEXT:
        half = _LONGEST_TEXT // 2
        text = f"{text[:half]} … {text[-half:]}"
    return text.encode(errors="backslashreplace").decode()


def _docs(request: Request) -> str:
    return request.scope.get("root_path", "") + "/docs"


def install_error_handlers(app: FastAPI) -> None:
    """Make every failure of the app's routes an answer in OpenAI's shape."""

    async def answer(_: Request, error: Exception) -> Response:
        return to_api_error(error).response()

    async def answer_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if isinstance(error.__cause__, ClientDisconnect):
            return Response(status_code=CLIENT_CLOSED_REQUEST)
        return _from_http_exception(request, error).response()

    async def forget(_: Request, __: Exception) -> Response:
        return Response(status_code=CLIENT_CLOSED_REQUEST)

    for kind in (ApiError, AdapterRefused, CallRefused, EngineUnavailable, RequestFailed, RequestValidationError):
        app.add_exception_handler(kind, answer)
    app.add_exception_handler(HTTPException, answer_http)
    app.add_exception_handler(ClientDisconnected, forget)
