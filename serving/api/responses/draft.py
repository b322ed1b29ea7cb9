"""One response while it is made: what it is at each moment, as a whole and as the events of a stream."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator

from serving.api.errors import to_api_error
from serving.api.logprobs import TokenBytes, TokenLogprob, chat_logprobs
from serving.api.responses.protocol import ResponseRequest
from serving.api.responses.resource import (
    IncompleteDetails,
    InputTokensDetails,
    ItemEvent,
    ItemStatus,
    LifecycleEvent,
    OutputMessage,
    OutputText,
    OutputTokensDetails,
    PartEvent,
    Response,
    ResponseError,
    ResponseUsage,
    TextDelta,
    TextDone,
)
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
        token_bytes: TokenBytes,
    ) -> None:
        self._prompt_tokens = prompt_tokens
        self._token_bytes = token_bytes
        self._text = ""
        self._logprobs: list[TokenLogprob] = []
        self._last: TextChunk | None = None
        self._item_id = f"msg_{uuid.uuid4().hex}"
        self._sequence_number = 0
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
            safety_identifier=request.safety_identifier,
            store=request.store is not False,
            temperature=temperature,
            top_logprobs=request.top_logprobs or 0,
            frequency_penalty=request.frequency_penalty or 0.0,
            presence_penalty=request.presence_penalty or 0.0,
            tool_choice="none" if request.tool_choice == "none" else "auto",
            top_p=top_p,
            user=request.user,
        )

    @property
    def id(self) -> str:
        return self._response.id

    @property
    def text(self) -> str:
        """What was made so far."""
        return self._text

    @property
    def started(self) -> bool:
        """Whether there was a chunk."""
        return self._last is not None

    def add(self, chunk: TextChunk) -> None:
        self._text += chunk.text
        self._logprobs += self._logprobs_of(chunk)
        self._last = chunk

    def waiting(self) -> Response:
        """The response before its end, of which nothing is shown but how far it is."""
        return self._response.model_copy(update={"status": "in_progress" if self.started else "queued"})

    def finished(self) -> Response:
        """The response at its end: whole, or cut off at its limit."""
        assert self._last is not None
        incomplete = self._last.finish_reason == "length"
        output_tokens = self._last.completion_tokens
        return self._response.model_copy(
            update={
                "status": "incomplete" if incomplete else "completed",
                "incomplete_details": IncompleteDetails() if incomplete else None,
                "completed_at": None if incomplete else int(time.time()),
                "output": [self._item("incomplete" if incomplete else "completed")],
                "usage": ResponseUsage(
                    input_tokens=self._prompt_tokens,
                    input_tokens_details=InputTokensDetails(),
                    output_tokens=output_tokens,
                    output_tokens_details=OutputTokensDetails(),
                    total_tokens=self._prompt_tokens + output_tokens,
                ),
            }
        )

    def failed(self, error: Exception) -> Response:
        """The response that came to nothing, with what there is of its text."""
        answer = to_api_error(error)
        code = "rate_limit_exceeded" if answer.status == 429 else "server_error"
        return self._response.model_copy(
            update={
                "status": "failed",
                "error": ResponseError(code=code, message=answer.detail.message),
                "output": [self._item("incomplete")] if self._text else [],
            }
        )

    def cancelled(self) -> Response:
        return self._response.model_copy(update={"status": "cancelled"})

    def opening(self) -> Iterator[NamedEvent]:
        """The events before the first text."""
        response = self._response.model_copy(update={"status": "in_progress"})
        yield LifecycleEvent(type="response.created", sequence_number=self._next(), response=response)
        yield LifecycleEvent(type="response.in_progress", sequence_number=self._next(), response=response)
        item = self._item("in_progress").model_copy(update={"content": []})
        yield ItemEvent(type="response.output_item.added", sequence_number=self._next(), item=item)
        yield PartEvent(
            type="response.content_part.added",
            sequence_number=self._next(),
            item_id=self._item_id,
            part=OutputText(text="", logprobs=[]),
        )

    def delta(self, chunk: TextChunk) -> NamedEvent:
        return TextDelta(
            sequence_number=self._next(),
            item_id=self._item_id,
            delta=chunk.text,
            logprobs=self._logprobs_of(chunk),
        )

    def closing(self, response: Response) -> Iterator[NamedEvent]:
        """The events after the last text; `response` is the finished one."""
        yield TextDone(sequence_number=self._next(), item_id=self._item_id, text=self._text, logprobs=self._logprobs)
        yield PartEvent(
            type="response.content_part.done",
            sequence_number=self._next(),
            item_id=self._item_id,
            part=self._part(),
        )
        yield ItemEvent(type="response.output_item.done", sequence_number=self._next(), item=response.output[0])
        kind = "response.incomplete" if response.status == "incomplete" else "response.completed"
        yield LifecycleEvent(type=kind, sequence_number=self._next(), response=response)

    def failure(self, response: Response) -> NamedEvent:
        """The last event of a stream that failed."""
        return LifecycleEvent(type="response.failed", sequence_number=self._next(), response=response)

    def _item(self, status: ItemStatus) -> OutputMessage:
        return OutputMessage(id=self._item_id, status=status, content=[self._part()])

    def _part(self) -> OutputText:
        return OutputText(text=self._text, logprobs=self._logprobs)

    def _logprobs_of(self, chunk: TextChunk) -> list[TokenLogprob]:
        return chat_logprobs(chunk.tokens, self._token_bytes).content

    def _next(self) -> int:
        number = self._sequence_number
        self._sequence_number += 1
        return number
