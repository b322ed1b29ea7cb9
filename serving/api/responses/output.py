"""The items of a response's output while they are made, and the events that tell of them."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field

from serving.api.chat_completions.answer import AnswerReader
from serving.api.logprobs import TokenBytes, TokenLogprob, chat_logprobs
from serving.api.responses.resource import (
    ItemEvent,
    ItemStatus,
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
    done: bool = False
    id: str = field(default_factory=lambda: f"rs_{uuid.uuid4().hex}")

    def part(self) -> ReasoningText:
        return ReasoningText(text=self.text)

    def item(self, status: ItemStatus) -> OutputReasoning:
        return OutputReasoning(id=self.id, status=status, content=[self.part()])


@dataclass
class _Message:
    index: int
    text: str = ""
    logprobs: list[TokenLogprob] = field(default_factory=list[TokenLogprob])
    id: str = field(default_factory=lambda: f"msg_{uuid.uuid4().hex}")

    def part(self) -> OutputText:
        return OutputText(text=self.text, logprobs=self.logprobs)

    def item(self, status: ItemStatus) -> OutputMessage:
        return OutputMessage(id=self.id, status=status, content=[self.part()])


class Output:
    """What the model thought, if it did, and its message. `numbers` are those of the response's events."""

    def __init__(self, reader: AnswerReader, token_bytes: TokenBytes, numbers: itertools.count[int]) -> None:
        self._reader = reader
        self._token_bytes = token_bytes
        self._numbers = numbers
        self._thoughts: _Thoughts | None = None
        self._message: _Message | None = None
        self._made = 0
        """Characters so far, markers and thoughts among them."""
        self._untold: list[TextToken] = []
        """Tokens from before the message, whose first may be among them."""

    @property
    def text(self) -> str:
        return self._message.text if self._message else ""

    @property
    def thoughts(self) -> str:
        return self._thoughts.text if self._thoughts else ""

    def items(self, status: ItemStatus) -> list[OutputItem]:
        """What there is, the last as far as `status` says."""
        thoughts, message = self._thoughts, self._message
        return [
            *([thoughts.item("completed" if thoughts.done else status)] if thoughts else ()),
            *([message.item(status)] if message else ()),
        ]

    def add(self, chunk: TextChunk) -> Iterator[NamedEvent]:
        """What a chunk adds; the events have to be taken for it."""
        self._made += len(chunk.text)
        self._untold += chunk.tokens
        for delta in self._reader.push(chunk.text, ended=chunk.finish_reason is not None):
            if delta.reasoning_content:
                yield from self._think(delta.reasoning_content)
            if delta.content:
                yield from self._say(delta.content)
        if self._message is not None and self._untold:
            yield from self._say("")

    def end(self, status: ItemStatus) -> Iterator[NamedEvent]:
        """The events after the last chunk. An answer without any text is an empty message."""
        if self._thoughts is not None and not self._thoughts.done:
            yield from self._end_thoughts(self._thoughts, status)
        if self._thoughts is None and self._message is None:
            yield from self._say("")
        if (message := self._message) is None:
            return
        yield TextDone(
            sequence_number=next(self._numbers),
            item_id=message.id,
            output_index=message.index,
            text=message.text,
            logprobs=message.logprobs,
        )
        yield self._part_event("done", message)
        yield self._item_event("done", message.item(status), message.index)

    def _think(self, text: str) -> Iterator[NamedEvent]:
        if (thoughts := self._thoughts) is None:
            thoughts = self._thoughts = _Thoughts(0)
            yield from self._begin(thoughts)
        thoughts.text += text
        yield ReasoningDelta(
            sequence_number=next(self._numbers), item_id=thoughts.id, output_index=thoughts.index, delta=text
        )

    def _end_thoughts(self, thoughts: _Thoughts, status: ItemStatus) -> Iterator[NamedEvent]:
        thoughts.done = status == "completed"
        yield ReasoningDone(
            sequence_number=next(self._numbers),
            item_id=thoughts.id,
            output_index=thoughts.index,
            text=thoughts.text,
        )
        yield self._part_event("done", thoughts)
        yield self._item_event("done", thoughts.item(status), thoughts.index)

    def _say(self, text: str) -> Iterator[NamedEvent]:
        if (message := self._message) is None:
            if self._thoughts is not None:
                yield from self._end_thoughts(self._thoughts, "completed")
            message = self._message = _Message(0 if self._thoughts is None else 1)
            yield from self._begin(message)
            self._untold = _tokens_from(self._made - len(text), self._untold)
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

    def _begin(self, made: _Thoughts | _Message) -> Iterator[NamedEvent]:
        item = made.item("in_progress").model_copy(update={"content": []})
        yield self._item_event("added", item, made.index)
        yield self._part_event("added", made)

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


def _tokens_from(offset: int, tokens: list[TextToken]) -> list[TextToken]:
    """The tokens of the text from this character on, the one that it is in included."""
    first = max((token.offset for token in tokens if token.offset <= offset), default=0)
    return [token for token in tokens if token.offset >= first]
