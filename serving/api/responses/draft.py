"""One response while it is made: what it is at each moment, as a whole and as the events of a stream."""

from __future__ import annotations

import itertools
import time
import uuid
from collections.abc import Iterator

from serving.api.chat_completions.answer import AnswerReader
from serving.api.errors import to_api_error
from serving.api.logprobs import TokenBytes
from serving.api.responses.output import Output
from serving.api.responses.protocol import ResponseRequest
from serving.api.responses.resource import (
    IncompleteDetails,
    InputTokensDetails,
    LifecycleEvent,
    OutputTokensDetails,
    ReasoningSettings,
    Response,
    ResponseError,
    ResponseUsage,
    TextSettings,
)
from serving.api.responses.tools import repeated
from serving.api.sse import NamedEvent
from serving.text.generator import TextChunk


class Draft:
    """Grows by the chunks of its text. `temperature` and `top_p` are what the request is answered with."""

    def __init__(
        self,
        request: ResponseRequest,
        *,
        prompt_tokens: int,
        temperature: float,
        top_p: float,
        reader: AnswerReader,
        token_bytes: TokenBytes,
    ) -> None:
        self._prompt_tokens = prompt_tokens
        self._last: TextChunk | None = None
        self._numbers = itertools.count()
        self.answer = reader
        """What was answered so far."""
        self._output = Output(reader, token_bytes, self._numbers)
        self._response = Response(
            id=f"resp_{uuid.uuid4().hex}",
            created_at=int(time.time()),
            status="in_progress",
            background=bool(request.background),
            instructions=request.instructions,
            max_output_tokens=request.max_output_tokens,
            max_tool_calls=request.max_tool_calls,
            metadata=request.metadata or {},
            model=request.model,
            parallel_tool_calls=request.parallel_tool_calls is not False,
            previous_response_id=request.previous_response_id,
            prompt_cache_key=request.prompt_cache_key,
            reasoning=ReasoningSettings(effort=request.effort()),
            safety_identifier=request.safety_identifier,
            store=request.store is not False,
            temperature=temperature,
            text=_text_settings(request),
            top_logprobs=request.top_logprobs or 0,
            frequency_penalty=request.frequency_penalty or 0.0,
            presence_penalty=request.presence_penalty or 0.0,
            tool_choice=request.tool_choice or "auto",
            tools=repeated(request.tools),
            top_p=top_p,
            user=request.user,
        )

    @property
    def id(self) -> str:
        return self._response.id

    @property
    def started(self) -> bool:
        """Whether there was a chunk."""
        return self._last is not None

    def add(self, chunk: TextChunk) -> list[NamedEvent]:
        """The events that tell of it."""
        opening = [] if self.started else list(self._opening())
        self._last = chunk
        return [*opening, *self._output.add(chunk)]

    def waiting(self) -> Response:
        """The response before its end, of which nothing is shown but how far it is."""
        return self._response.model_copy(update={"status": "in_progress" if self.started else "queued"})

    def finish(self, reasoning_tokens: int) -> tuple[Response, list[NamedEvent]]:
        """The response at its end, whole or cut off at its limit, and the last events."""
        assert self._last is not None
        incomplete = self._last.finish_reason == "length"
        status = "incomplete" if incomplete else "completed"
        output_tokens = self._last.completion_tokens
        events = list(self._output.end(status))
        response = self._response.model_copy(
            update={
                "status": status,
                "incomplete_details": IncompleteDetails() if incomplete else None,
                "completed_at": None if incomplete else int(time.time()),
                "output": self._output.items(status),
                "usage": ResponseUsage(
                    input_tokens=self._prompt_tokens,
                    input_tokens_details=InputTokensDetails(cached_tokens=self._last.reused_prompt_tokens),
                    output_tokens=output_tokens,
                    output_tokens_details=OutputTokensDetails(reasoning_tokens=reasoning_tokens),
                    total_tokens=self._prompt_tokens + output_tokens,
                ),
            }
        )
        kind = "response.incomplete" if incomplete else "response.completed"
        return response, [*events, LifecycleEvent(type=kind, sequence_number=next(self._numbers), response=response)]

    def failed(self, error: Exception) -> Response:
        """The response that came to nothing, with what there is of its text."""
        answer = to_api_error(error)
        code = "rate_limit_exceeded" if answer.status == 429 else "server_error"
        return self._response.model_copy(
            update={
                "status": "failed",
                "error": ResponseError(code=code, message=answer.detail.message),
                "output": self._output.items("incomplete"),
            }
        )

    def cancelled(self) -> Response:
        return self._response.model_copy(update={"status": "cancelled"})

    def failure(self, response: Response) -> NamedEvent:
        """The last event of a stream that failed."""
        return LifecycleEvent(type="response.failed", sequence_number=next(self._numbers), response=response)

    def _opening(self) -> Iterator[NamedEvent]:
        """The events before the first text."""
        response = self._response.model_copy(update={"status": "in_progress"})
        yield LifecycleEvent(type="response.created", sequence_number=next(self._numbers), response=response)
        yield LifecycleEvent(type="response.in_progress", sequence_number=next(self._numbers), response=response)


def _text_settings(request: ResponseRequest) -> TextSettings:
    form = request.form().format
    return TextSettings() if form is None else TextSettings(format=form.model_dump(by_alias=True, exclude_none=True))
