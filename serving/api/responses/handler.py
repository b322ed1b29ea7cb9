"""Responses: made at once, as a stream, or in the background; kept, asked for, cancelled and deleted."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from serving.api.chat_completions.demand import template_settings, tool_use
from serving.api.chat_completions.dialogue import dialogue_after
from serving.api.chat_completions.tools import tools_for_template
from serving.api.errors import InvalidRequest, PreviousResponseNotFound, ResponseNotFound
from serving.api.generation import Generation
from serving.api.responses.background import Background
from serving.api.responses.conversation import Turns, answer_turn, gone_on
from serving.api.responses.draft import Draft
from serving.api.responses.protocol import ResponseRequest
from serving.api.responses.resource import DeletedResponse, Response
from serving.api.responses.store import OwnId, ResponseStore, StoredResponse
from serving.api.responses.tools import demand_of
from serving.api.sse import NamedEvent
from serving.callers.call import current_call
from serving.text.generator import TextRequest


@dataclass(frozen=True)
class _Prepared:
    request: TextRequest
    draft: Draft
    turns: Turns
    """The conversation up to the answer, without the instructions."""
    store: bool


class Responses:
    """Answers conversations, and remembers them."""

    def __init__(self, generation: Generation, store: ResponseStore) -> None:
        self._generation = generation
        self._store = store
        self._background = Background()

    async def create(self, request: ResponseRequest) -> Response:
        """The whole answer at once."""
        prepared = await self._prepare(request)
        return await self._answer(prepared)

    async def stream(self, request: ResponseRequest) -> AsyncGenerator[NamedEvent]:
        """The answer as it is made; nothing comes before the engine's first text, so that failures can be statuses."""
        prepared = await self._prepare(request)
        draft = prepared.draft
        try:
            async with aclosing(self._generation.generator.generate(prepared.request)) as chunks:
                async for chunk in chunks:
                    for event in draft.add(chunk):
                        yield event
        except Exception as error:
            if not draft.started:
                raise
            failed = draft.failed(error)
            self._keep(prepared, failed)
            yield draft.failure(failed)
            return
        finished, events = draft.finish(await self._generation.thought_tokens(draft.answer.thoughts))
        # Before it is told, so that whoever hears of it can go on from it.
        self._keep(prepared, finished)
        for event in events:
            yield event

    async def start(self, request: ResponseRequest) -> Response:
        """Begin an answer that is made in the background."""
        prepared = await self._prepare(request)
        self._background.start(_own(prepared.draft.id), prepared.draft, self._answer_in_background(prepared))
        return prepared.draft.waiting()

    def retrieve(self, response_id: str) -> Response:
        """Raises ResponseNotFound."""
        draft = self._background.draft(_own(response_id))
        if draft is not None and self._store.get(_own(response_id)) is None:
            return draft.waiting()
        return self._stored(response_id).response

    async def cancel(self, response_id: str) -> Response:
        """End an answer that is made in the background; one that has ended stays as it is."""
        if (draft := await self._background.cancel(_own(response_id))) is not None:
            self._store.put(_own(response_id), StoredResponse(draft.cancelled(), turns=()))
        response = self._stored(response_id).response
        if not response.background:
            raise InvalidRequest(
                f"The response '{response_id}' was not made with \"background\": true, so it cannot be cancelled; one "
                "that is not ends with the connection that asked for it.",
                param="response_id",
                code="invalid_value",
            )
        return response

    async def delete(self, response_id: str) -> DeletedResponse:
        """Forget an answer; what is still being made of it ends."""
        cancelled = await self._background.cancel(_own(response_id))
        if not self._store.delete(_own(response_id)) and cancelled is None:
            raise ResponseNotFound(response_id)
        return DeletedResponse(id=response_id)

    async def _answer(self, prepared: _Prepared) -> Response:
        async with aclosing(self._generation.generator.generate(prepared.request)) as chunks:
            async for chunk in chunks:
                prepared.draft.add(chunk)
        draft = prepared.draft
        finished, _ = draft.finish(await self._generation.thought_tokens(draft.answer.thoughts))
        self._keep(prepared, finished)
        return finished

    async def _answer_in_background(self, prepared: _Prepared) -> None:
        with current_call().going_on():
            try:
                await self._answer(prepared)
            except Exception as error:  # noqa: BLE001 - nobody waits for the answer: whoever asks for it learns why
                self._keep(prepared, prepared.draft.failed(error))

    def _keep(self, prepared: _Prepared, response: Response) -> None:
        if prepared.store:
            turns = (*prepared.turns, answer_turn(prepared.draft.answer))
            self._store.put(_own(response.id), StoredResponse(response, turns))

    def _stored(self, response_id: str) -> StoredResponse:
        if (stored := self._store.get(_own(response_id))) is None:
            raise ResponseNotFound(response_id)
        return stored

    async def _prepare(self, request: ResponseRequest) -> _Prepared:
        generation = self._generation
        model = generation.models.choose(request.model, request.adapter_strength)
        turns = gone_on(self._earlier_turns(request.previous_response_id), request.input)
        instructions = [{"role": "system", "content": request.instructions}] if request.instructions else []
        tools = tool_use(
            request.tools or (),
            demand_of(request.tool_choice),
            generation,
            model=request.model,
            many=request.parallel_tool_calls is not False,
        )
        token_ids = await generation.encode_chat(
            [*instructions, *turns],
            request.model,
            param="input",
            tools=tools_for_template(tools.offered) if tools else (),
            settings=template_settings(request.effort(), generation, request.model, param="reasoning.effort"),
        )
        dialogue = await dialogue_after(token_ids, generation, request.form(), tools)
        limit = generation.completion_limit(len(token_ids), request.max_output_tokens, prompt="input")
        text_request = TextRequest(
            model=model.id,
            adapter=model.adapter,
            prompt_token_ids=dialogue.prompt_token_ids,
            max_tokens=limit,
            sampling=generation.sampling(request),
            stop=tuple(request.stop or ()),
            stop_token_ids=generation.stop_token_ids(ignore_eos=request.ignore_eos, others=request.stop_token_ids),
            min_tokens=generation.min_tokens(request.min_tokens, limit),
            logprobs=request.logprobs(),
            grammar=dialogue.grammar,
            shown_token_ids=dialogue.shown_token_ids,
        )
        defaults = generation.sampling_defaults()
        draft = Draft(
            request,
            prompt_tokens=len(token_ids),
            temperature=defaults.temperature if request.temperature is None else request.temperature,
            top_p=defaults.top_p if request.top_p is None else request.top_p,
            reader=dialogue.reader(),
            token_bytes=generation.tokenizer.token_bytes,
        )
        return _Prepared(text_request, draft, turns, store=request.store is not False)

    def _earlier_turns(self, response_id: str | None) -> Turns:
        """The conversation that a request goes on from."""
        if response_id is None:
            return ()
        stored = self._store.get(_own(response_id))
        if stored is not None and stored.response.status in ("completed", "incomplete"):
            return stored.turns
        if stored is None and self._background.draft(_own(response_id)) is None:
            raise PreviousResponseNotFound(response_id)
        raise InvalidRequest(
            f"The response '{response_id}' is {self.retrieve(response_id).status}; only one that is completed or "
            "incomplete can be gone on from.",
            param="previous_response_id",
            code="invalid_value",
        )


def _own(response_id: str) -> OwnId:
    """The id among those of the caller, who is the same for what is made in the background."""
    return current_call().client, response_id
