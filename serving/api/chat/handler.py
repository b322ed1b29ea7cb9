"""KAITO's chat: a prompt in, a text out."""

from __future__ import annotations

from dataclasses import replace

from serving.api.chat.protocol import ChatRequest, ChatResult, GenerateKwargs
from serving.api.chat_completions.messages import for_template
from serving.api.choices import collect
from serving.api.errors import InvalidRequest
from serving.api.generation import Generation
from serving.api.sampling import SamplingParameters
from serving.text.generator import TextRequest

_DEFAULT_MAX_LENGTH = 200
_NO_KWARGS = GenerateKwargs()


class Chat:
    """Answers with the workspace's model, since requests name none."""

    def __init__(self, generation: Generation) -> None:
        self._generation = generation

    async def create(self, request: ChatRequest) -> ChatResult:
        prepared = await self._prepare(request)
        full_text = request.prompt is not None and request.return_full_text is not False
        [answer] = await collect(self._generation.generator, [prepared])
        return ChatResult(Result=(request.prompt or "" if full_text else "") + answer.text)

    async def _prepare(self, request: ChatRequest) -> TextRequest:
        generation, kwargs = self._generation, request.generate_kwargs or _NO_KWARGS
        token_ids, parameter = await self._prompt(request)
        sampling = generation.sampling(
            SamplingParameters(
                temperature=kwargs.temperature,
                top_p=kwargs.top_p,
                top_k=kwargs.top_k,
                repetition_penalty=kwargs.repetition_penalty,
            )
        )
        if kwargs.do_sample is False:
            sampling = replace(sampling, temperature=0.0)
        return TextRequest(
            model=generation.models.default.id,
            prompt_token_ids=tuple(token_ids),
            max_tokens=self._limit(kwargs, len(token_ids), parameter),
            sampling=sampling,
            stop_token_ids=frozenset(kwargs.eos_token_id or generation.tokenizer.stop_token_ids),
        )

    async def _prompt(self, request: ChatRequest) -> tuple[list[int], str]:
        """The prompt's tokens, and the parameter they came from."""
        if (request.prompt is None) == (request.messages is None):
            raise InvalidRequest(
                "Send either 'prompt', a text to continue, or 'messages', a conversation.",
                param="prompt",
                code="missing_required_parameter" if request.prompt is None else "invalid_value",
            )
        if request.messages is not None:
            if request.prefix:
                raise InvalidRequest(
                    "'prefix' is for a prompt; in a conversation a message of the system role does its work.",
                    param="prefix",
                    code="invalid_value",
                )
            model = self._generation.models.default.id
            return await self._generation.encode_chat(for_template(request.messages), model), "messages"
        text = (request.prefix or "") + (request.prompt or "")
        return await self._generation.encode(text, param="prompt"), "prompt"

    def _limit(self, kwargs: GenerateKwargs, prompt_tokens: int, parameter: str) -> int:
        """New tokens at most; max_new_tokens goes before max_length, as in transformers."""
        generation = self._generation
        asked, default = kwargs.max_new_tokens, None
        if asked is None:
            # First whether the prompt fits at all: a longer max_length would be the wrong advice otherwise.
            generation.completion_limit(prompt_tokens, None, prompt=parameter)
            new_tokens = _beyond(prompt_tokens, kwargs.max_length)
            asked, default = (None, new_tokens) if kwargs.max_length is None else (new_tokens, None)
        return generation.completion_limit(prompt_tokens, asked, prompt=parameter, default=default)


def _beyond(prompt_tokens: int, max_length: int | None) -> int:
    """Tokens that max_length leaves for the answer."""
    together = max_length or _DEFAULT_MAX_LENGTH
    if together > prompt_tokens:
        return together - prompt_tokens
    raise InvalidRequest(
        f"The prompt has {prompt_tokens} tokens, but prompt and answer together may have {together}"
        f"{'' if max_length else ' by default'}. Send max_new_tokens, which counts the answer alone.",
        param="generate_kwargs.max_length",
        code="invalid_value",
    )
