"""What a prompt is in the model's tokens."""

from __future__ import annotations

from serving.api.chat_completions.messages import for_template
from serving.api.chat_completions.tools import functions_of, tools_for_template
from serving.api.errors import InvalidRequest
from serving.api.generation import Generation
from serving.api.tokenize.protocol import Tokenized, TokenizeRequest


class Tokenize:
    """Counts and shows tokens."""

    def __init__(self, generation: Generation) -> None:
        self._generation = generation

    async def create(self, request: TokenizeRequest) -> Tokenized:
        generation = self._generation
        token_ids = await self._tokens(request)
        return Tokenized(
            count=len(token_ids),
            max_model_len=generation.max_context,
            tokens=token_ids,
            token_strs=generation.tokenizer.token_texts(token_ids) if request.return_token_strs else None,
        )

    async def _tokens(self, request: TokenizeRequest) -> list[int]:
        generation = self._generation
        model = generation.models.default.id if request.model is None else request.model
        generation.models.resolve(model)
        if request.messages is not None and request.prompt is None:
            if request.add_special_tokens:
                raise InvalidRequest(
                    "The chat template writes the special tokens of a conversation; leave 'add_special_tokens' out.",
                    param="add_special_tokens",
                    code="invalid_value",
                )
            return await generation.encode_chat(
                for_template(request.messages),
                model,
                generation_prompt=request.add_generation_prompt is not False,
                tools=tools_for_template(functions_of(request.tools)),
                settings=request.chat_template_kwargs,
            )
        if request.prompt is None or request.messages is not None:
            raise InvalidRequest(
                "Send either 'prompt', a text, or 'messages', a conversation.",
                param="prompt",
                code="missing_required_parameter" if request.prompt is None else "invalid_value",
            )
        if of_conversations := [name for name in ("tools", "chat_template_kwargs") if getattr(request, name)]:
            raise InvalidRequest(
                f"'{of_conversations[0]}' is for 'messages'; a text is taken as it is.",
                param=of_conversations[0],
                code="invalid_value",
            )
        if request.add_generation_prompt:
            raise InvalidRequest(
                "'add_generation_prompt' is for 'messages'; a text is taken as it is.",
                param="add_generation_prompt",
                code="invalid_value",
            )
        return await generation.tokens(
            request.prompt, param="prompt", special_tokens=request.add_special_tokens is not False
        )
