"""A conversation on its way to the model and back: its prompt, what its answer is held to, and how that is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from serving.api.chat_completions.answer import AnswerReader
from serving.api.chat_completions.demand import ToolUse, grammar_for, template_settings, tool_use
from serving.api.chat_completions.messages import for_template
from serving.api.chat_completions.protocol import ChatCompletionRequest
from serving.api.chat_completions.tools import demand_of, functions_of, tools_for_template
from serving.api.errors import InvalidRequest
from serving.api.generation import Generation
from serving.api.response_format import Form
from serving.text.reasoning import ReasoningFormat

_END_OF_PROMPT = 16
"""Tokens in which a marker at the end of a prompt is found, white space behind it included."""


@dataclass(frozen=True, kw_only=True)
class Dialogue:
    """What all choices of an answer have in common."""

    prompt_token_ids: tuple[int, ...]
    grammar: str | None
    shown_token_ids: frozenset[int]
    """Special tokens that are markers of the answer's parts."""
    tools: ToolUse | None
    reasoning: ReasoningFormat | None
    thinking_begun: bool
    """Whether the prompt has opened the thinking already."""

    def reader(self) -> AnswerReader:
        """For the text of one choice."""
        return AnswerReader(self.tools, self.reasoning, self.thinking_begun)


async def open_dialogue(request: ChatCompletionRequest, generation: Generation) -> Dialogue:
    """Make the prompt and the grammar of a request. Raises InvalidRequest."""
    tools = tool_use(
        functions_of(request.tools),
        demand_of(request.tool_choice),
        generation,
        model=request.model,
        many=request.parallel_tool_calls is not False,
    )
    token_ids = await generation.encode_chat(
        for_template(request.messages),
        request.model,
        tools=tools_for_template(tools.offered) if tools else (),
        settings=template_settings(
            request.reasoning_effort, generation, request.model, others=request.chat_template_kwargs
        ),
    )
    return await dialogue_after(token_ids, generation, Form(request.response_format, "response_format"), tools)


async def dialogue_after(
    token_ids: Sequence[int], generation: Generation, form: Form, tools: ToolUse | None = None
) -> Dialogue:
    """Make the grammar of an answer to a prompt. Raises InvalidRequest."""
    reasoning = generation.reasoning
    markers = (*(tools.format.markers if tools else ()), *(reasoning.markers if reasoning else ()))
    marks = generation.tokenizer.special_tokens(markers)
    shown = frozenset(marks.values())
    end = generation.tokenizer.decode(token_ids[-_END_OF_PROMPT:], shown=shown)
    begun = reasoning is not None and reasoning.begun_by(end)
    grammar = await grammar_for(form, tools, reasoning, marks, thinking_begun=begun)
    if grammar is not None and marks and not generation.marks_in_grammars:
        raise InvalidRequest(
            "With engine: vllm answers of this model are not held to a grammar, since its markers are special tokens; "
            'leave out the form of the answer, "strict" and a demand for calls, or use engine: transformers.',
            param=form.param if tools is None else "tools",
            code="unsupported_parameter" if tools is None else "tools_not_supported",
        )
    return Dialogue(
        prompt_token_ids=tuple(token_ids),
        grammar=grammar,
        shown_token_ids=shown,
        tools=tools,
        reasoning=reasoning,
        thinking_begun=begun,
    )
