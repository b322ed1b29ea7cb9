"""The conversation that a response is an answer to, as chat templates take it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from serving.api.chat_completions.answer import AnswerReader
from serving.api.chat_completions.messages import called, result_turn
from serving.api.errors import InvalidRequest
from serving.api.responses.items import FunctionCallItem, FunctionCallOutputItem, InputItem, MessageItem, ReasoningItem

Turn = dict[str, Any]
"""A message for the chat template. It is shared by all that go on from an answer, so it is never changed."""
Turns = tuple[Turn, ...]


def gone_on(earlier: Turns, said: str | Sequence[InputItem]) -> Turns:
    """The conversation after a request's input; raises InvalidRequest for the output of a call that it does not have.

    Calls are one turn of the model with the text before them and, if no outputs are between, after them. What it
    thought before calls is part of that turn, as in chat completions: it may not be through with what it is at.
    """
    if isinstance(said, str):
        return *earlier, {"role": "user", "content": said}
    turns = list(earlier)
    open_calls = _open_calls(earlier)
    thoughts = ""
    for index, item in enumerate(said):
        match item:
            case FunctionCallItem():
                _call(turns, called(item.call_id, item.name, item.arguments), thoughts)
                open_calls[item.call_id] = item.name
            case FunctionCallOutputItem():
                if (name := open_calls.pop(item.call_id, None)) is None:
                    raise InvalidRequest(
                        f"No call '{item.call_id}' that waits for its output comes before input[{index}]; send its "
                        "item of type 'function_call' before it, or the id of its response as previous_response_id.",
                        param=f"input[{index}].call_id",
                        code="invalid_value",
                    )
                turns.append(result_turn(item.call_id, item.output, item.name or name))
                thoughts = ""
            case MessageItem():
                _say(turns, item.for_template())
                thoughts = thoughts if item.role == "assistant" else ""
            case ReasoningItem():
                thoughts = item.text()
    return tuple(turns)


def answer_turn(answer: AnswerReader) -> Turn:
    """What the model said and called, as a turn that later ones go on from."""
    turn: Turn = {"role": "assistant", "content": answer.content}
    if answer.calls:
        turn["tool_calls"] = [called(call.id, call.name, call.arguments) for call in answer.calls]
        turn.update(_thought(answer.thoughts))
    return turn


def _thought(thoughts: str) -> Turn:
    return {"reasoning_content": thoughts} if thoughts else {}


def _open_calls(turns: Turns) -> dict[str, str]:
    """Names of the functions of calls without an output, by the calls' ids."""
    calls: dict[str, str] = {}
    for turn in turns:
        calls.update((call["id"], call["function"]["name"]) for call in turn.get("tool_calls", ()))
        if turn["role"] == "tool":
            calls.pop(turn["tool_call_id"], None)
    return calls


def _call(turns: list[Turn], call: dict[str, Any], thoughts: str) -> None:
    if turns and turns[-1]["role"] == "assistant":
        calls = [*turns[-1].get("tool_calls", ()), call]
        turns[-1] = {**turns[-1], "tool_calls": calls, **_thought(thoughts)}
    else:
        turns.append({"role": "assistant", "content": "", "tool_calls": [call], **_thought(thoughts)})


def _say(turns: list[Turn], said: Turn) -> None:
    if said["role"] == "assistant" and turns and turns[-1].get("tool_calls"):
        texts = (turns[-1]["content"], said["content"])
        turns[-1] = {**turns[-1], "content": "\n".join(text for text in texts if text)}
    else:
        turns.append(said)
