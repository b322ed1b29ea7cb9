"""The text of one choice, read as what it is: thinking, content and calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from serving.api.chat_completions.demand import ToolUse
from serving.api.chat_completions.protocol import AnswerMessage, ChatDelta, ChatFinishReason
from serving.api.chat_completions.tools import AnswerCall, AnswerFunction, CallDelta, FunctionDelta
from serving.engines.protocol import FinishReason
from serving.text.reasoning import ReasoningFormat, ReasoningParser
from serving.tools.format import CallArguments, CallStarted, Piece, ToolParser


@dataclass
class _Call:
    id: str
    name: str
    arguments: str = ""


@dataclass
class AnswerReader:
    """Reads one choice, all at once or as it is made."""

    tools: ToolUse | None
    reasoning: ReasoningFormat | None
    thinking_begun: bool
    content: str = ""
    thoughts: str = ""
    calls: list[_Call] = field(default_factory=list[_Call])
    _tool_parser: ToolParser | None = None
    _reasoning_parser: ReasoningParser | None = None
    _dropping: bool = False

    def __post_init__(self) -> None:
        if self.tools is not None:
            self._tool_parser = self.tools.format.parser(self.tools.functions)
        if self.reasoning is not None:
            self._reasoning_parser = ReasoningParser(self.reasoning, begun=self.thinking_begun)

    def push(self, text: str, *, ended: bool = False) -> list[ChatDelta]:
        """What the new text adds to the answer; `ended`: it is the last, so that nothing is held back any more."""
        deltas: list[ChatDelta] = []
        if self._reasoning_parser is not None:
            parser = self._reasoning_parser
            for parted in (parser.push(text), *([parser.finish()] if ended else [])):
                deltas += self._think(parted.reasoning) + self._answer(parted.answer)
        else:
            deltas += self._answer(text)
        if ended and self._tool_parser is not None:
            deltas += self._deltas(self._tool_parser.finish())
        return deltas

    def read(self, text: str) -> None:
        """The whole text."""
        self.push(text, ended=True)

    def message(self) -> AnswerMessage:
        """All of the answer so far."""
        calls = [
            AnswerCall(id=call.id, function=AnswerFunction(name=call.name, arguments=call.arguments))
            for call in self.calls
        ]
        return AnswerMessage(
            content=self.content if self.content or not calls else None,
            tool_calls=calls or None,
            reasoning_content=self.thoughts or None,
        )

    def finish_reason(self, reason: FinishReason) -> ChatFinishReason:
        """A call that was cut by the limit stays cut."""
        return "tool_calls" if self.calls and reason == "stop" else reason

    def _think(self, text: str) -> list[ChatDelta]:
        self.thoughts += text
        return [ChatDelta(reasoning_content=text)] if text else []

    def _answer(self, text: str) -> list[ChatDelta]:
        if self._tool_parser is not None:
            return self._deltas(self._tool_parser.push(text))
        return self._deltas([text] if text else [])

    def _deltas(self, pieces: Sequence[Piece]) -> list[ChatDelta]:
        return [delta for piece in pieces if (delta := self._delta(piece)) is not None]

    def _delta(self, piece: Piece) -> ChatDelta | None:
        # A model that was to make one call only may go on all the same: the rest is dropped.
        if isinstance(piece, CallStarted) and self.calls and self.tools is not None and not self.tools.many:
            self._dropping = True
        if self._dropping:
            return None
        match piece:
            case CallStarted():
                assert self.tools is not None
                call = _Call(self.tools.format.new_id(), piece.name)
                self.calls.append(call)
                function = FunctionDelta(name=call.name, arguments="")
                return _call_delta(CallDelta(index=len(self.calls) - 1, id=call.id, type="function", function=function))
            case CallArguments():
                self.calls[-1].arguments += piece.text
                return _call_delta(CallDelta(index=len(self.calls) - 1, function=FunctionDelta(arguments=piece.text)))
            case str():
                self.content += piece
                return ChatDelta(content=piece)


def _call_delta(call: CallDelta) -> ChatDelta:
    return ChatDelta(tool_calls=[call])
