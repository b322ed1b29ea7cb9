"""The items of a response's output while they are made, and the events that tell of them."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field

from serving.api.chat_completions.answer import AnswerReader
from serving.api.chat_completions.protocol import ChatDelta
from serving.api.chat_completions.tools import CallDelta
from serving.api.logprobs import TokenBytes, TokenLogprob, chat_logprobs
from serving.api.responses.items import ItemStatus
from serving.api.responses.resource import (
    ArgumentsDelta,
    ArgumentsDone,
    ItemEvent,
    OutputCall,
    OutputItem,
    OutputMessage,
    OutputReasoning,
    OutputText,
    PartEvent,
    ReasoningDelta,
    ReasoningDone,
    ReasoningText,
    TextDelta,
    TextDone,
)
from serving.api.sse import NamedEvent
from serving.text.answer_text import TextToken
from serving.text.generator import TextChunk


@dataclass
class _Thoughts:
    index: int
    text: str = ""
    status: ItemStatus | None = None
    """None: it is being made."""
    id: str = field(default_factory=lambda: f"rs_{uuid.uuid4().hex}")

    def part(self) -> ReasoningText:
        return ReasoningText(text=self.text)

    def item(self, status: ItemStatus) -> OutputReasoning:
        return OutputReasoning(id=self.id, status=status, content=[self.part()])


@dataclass
class _Message:
    index: int
    text: str = ""
    status: ItemStatus | None = None
    logprobs: list[TokenLogprob] = field(default_factory=list[TokenLogprob])
    id: str = field(default_factory=lambda: f"msg_{uuid.uuid4().hex}")

    def part(self) -> OutputText:
        return OutputText(text=self.text, logprobs=self.logprobs)

    def item(self, status: ItemStatus) -> OutputMessage:
        return OutputMessage(id=self.id, status=status, content=[self.part()])


@dataclass
class _Call:
    index: int
    call_id: str
    name: str
    arguments: str = ""
    status: ItemStatus | None = None
    id: str = field(default_factory=lambda: f"fc_{uuid.uuid4().hex}")

    def item(self, status: ItemStatus) -> OutputCall:
        return OutputCall(id=self.id, call_id=self.call_id, name=self.name, arguments=self.arguments, status=status)


_Made = _Thoughts | _Message | _Call


class Output:
    """What the model thought, said and called, in its order. `numbers` are those of the response's events."""

    def __init__(self, reader: AnswerReader, token_bytes: TokenBytes, numbers: itertools.count[int]) -> None:
        self._reader = reader
        self._token_bytes = token_bytes
        self._numbers = numbers
        self._made: list[_Made] = []
        """All but the last are done."""
        self._characters = 0
        """So far, markers and thoughts among them."""
        self._untold: list[TextToken] = []
        """Tokens since the last text of a message; the first of the next one may be among them."""

    def items(self, status: ItemStatus) -> list[OutputItem]:
        """What there is, the last as far as `status` says if it is being made."""
        return [made.item(made.status or status) for made in self._made]

    def add(self, chunk: TextChunk) -> Iterator[NamedEvent]:
        """What a chunk adds; the events have to be taken for it."""
        for text, tokens, ended in _by_token(chunk, self._characters):
            self._characters += len(text)
            self._untold += tokens
            for delta in self._reader.push(text, ended=ended):
                yield from self._take(delta)
        if chunk.finish_reason is not None and self._untold and isinstance(self._last, _Message):
            yield from self._say("")

    def end(self, status: ItemStatus) -> Iterator[NamedEvent]:
        """The events after the last chunk. An answer without anything is an empty message."""
        if not self._made:
            yield from self._say("")
        yield from self._end_last(status)

    @property
    def _last(self) -> _Made | None:
        """What is being made."""
        return self._made[-1] if self._made and self._made[-1].status is None else None

    def _take(self, delta: ChatDelta) -> Iterator[NamedEvent]:
        if delta.reasoning_content:
            yield from self._think(delta.reasoning_content)
        if delta.content:
            yield from self._say(delta.content)
        for call in delta.tool_calls or ():
            yield from self._call(call)

    def _think(self, text: str) -> Iterator[NamedEvent]:
        if not isinstance(thoughts := self._last, _Thoughts):
            thoughts = _Thoughts(len(self._made))
            yield from self._begin(thoughts)
        thoughts.text += text
        yield ReasoningDelta(
            sequence_number=next(self._numbers), item_id=thoughts.id, output_index=thoughts.index, delta=text
        )

    def _say(self, text: str) -> Iterator[NamedEvent]:
        if not isinstance(message := self._last, _Message):
            yield from self._end_last("completed")
            message = _Message(len(self._made))
            yield from self._begin(message)
            self._untold = _tokens_from(self._characters - len(text), self._untold)
        logprobs = chat_logprobs(self._untold, self._token_bytes).content
        self._untold = []
        if not text and not logprobs:
            return
        message.text += text
        message.logprobs += logprobs
        yield TextDelta(
            sequence_number=next(self._numbers),
            item_id=message.id,
            output_index=message.index,
            delta=text,
            logprobs=logprobs,
        )

    def _call(self, delta: CallDelta) -> Iterator[NamedEvent]:
        if delta.id is not None:
            yield from self._end_last("completed")
            yield from self._begin(_Call(len(self._made), delta.id, delta.function.name or ""))
        call = self._last
        assert isinstance(call, _Call), "arguments came without the call that they are of"
        if delta.function.arguments:
            call.arguments += delta.function.arguments
            yield ArgumentsDelta(
                sequence_number=next(self._numbers),
                item_id=call.id,
                output_index=call.index,
                delta=delta.function.arguments,
            )

    def _begin(self, made: _Made) -> Iterator[NamedEvent]:
        self._made.append(made)
        item = made.item("in_progress")
        yield self._item_event("added", item if isinstance(item, OutputCall) else _without_content(item), made.index)
        if not isinstance(made, _Call):
            yield self._part_event("added", made)

    def _end_last(self, status: ItemStatus) -> Iterator[NamedEvent]:
        if (made := self._last) is None:
            return
        made.status = status
        yield self._done_event(made)
        if not isinstance(made, _Call):
            yield self._part_event("done", made)
        yield self._item_event("done", made.item(status), made.index)

    def _done_event(self, made: _Made) -> NamedEvent:
        number = next(self._numbers)
        match made:
            case _Thoughts():
                return ReasoningDone(sequence_number=number, item_id=made.id, output_index=made.index, text=made.text)
            case _Message():
                return TextDone(
                    sequence_number=number,
                    item_id=made.id,
                    output_index=made.index,
                    text=made.text,
                    logprobs=made.logprobs,
                )
            case _Call():
                return ArgumentsDone(
                    sequence_number=number,
                    item_id=made.id,
                    output_index=made.index,
                    name=made.name,
                    arguments=made.arguments,
                )

    def _item_event(self, what: str, item: OutputItem, index: int) -> ItemEvent:
        kind = "response.output_item.added" if what == "added" else "response.output_item.done"
        return ItemEvent(type=kind, sequence_number=next(self._numbers), output_index=index, item=item)

    def _part_event(self, what: str, made: _Thoughts | _Message) -> PartEvent:
        return PartEvent(
            type="response.content_part.added" if what == "added" else "response.content_part.done",
            sequence_number=next(self._numbers),
            item_id=made.id,
            output_index=made.index,
            part=made.part(),
        )


def _without_content(item: OutputReasoning | OutputMessage) -> OutputItem:
    """Its parts are told of by events of their own."""
    return item.model_copy(update={"content": []})


def _by_token(chunk: TextChunk, begin: int) -> Iterator[tuple[str, tuple[TextToken, ...], bool]]:
    """A chunk that begins at this character of the answer, and whether the answer ends with it.

    Where tokens are told of, it comes a token at a time: a chunk may have text, calls and text again, and each token is
    told of with the text that it is of.
    """
    ended = chunk.finish_reason is not None
    if not chunk.tokens:
        yield chunk.text, (), ended
        return
    begins = [0, *(max(token.offset - begin, 0) for token in chunk.tokens[1:]), len(chunk.text)]
    for place, token in enumerate(chunk.tokens):
        last = place == len(chunk.tokens) - 1
        yield chunk.text[begins[place] : begins[place + 1]], (token,), ended and last


def _tokens_from(offset: int, tokens: list[TextToken]) -> list[TextToken]:
    """The tokens of the text from this character on, the one that it is in included."""
    first = max((token.offset for token in tokens if token.offset <= offset), default=0)
    return [token for token in tokens if token.offset >= first]
