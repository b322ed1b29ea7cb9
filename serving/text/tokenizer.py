"""The model's tokenizer, as the API needs it: prompts to tokens, messages to prompts, tokens to text.

A tokenizer.json is read as its makers published it, by transformers' own class for such files. That class needs no
torch, which keeps a replica's process at a quarter of the memory and a third of the start-up time that AutoTokenizer
costs; AutoTokenizer is the way for models that come without a tokenizer.json.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from serving.errors import StartupFailure
from serving.text.text_bound import text_bound
from serving.text.token_bytes import TokenBytes

if TYPE_CHECKING:
    from transformers.tokenization_utils_tokenizers import PreTrainedTokenizerFast

_LONG_TEXT = 20_000
"""Characters from which a text is encoded in a thread: about 5 ms, which other streams would wait otherwise."""
_LONG_TEXTS = 2
"""So many long texts are encoded at a time: each takes about a hundred times its size in memory."""


class ChatTemplateMissing(Exception):
    """The model has no chat template, so messages cannot become a prompt."""


class ChatTemplateRefused(Exception):
    """The model's chat template does not take these messages; the text is the template's own."""


class TextTooLong(Exception):
    """A text is so long that it cannot be few enough tokens."""

    def __init__(self, characters: int, fewest_tokens: int) -> None:
        self.characters = characters
        self.fewest_tokens = fewest_tokens
        super().__init__(f"{characters} characters are at least {fewest_tokens} tokens")


class ToolsNotInTemplate(Exception):
    """The model's chat template leaves tools out, so the model would never know of them."""


class Tokenizer(Protocol):
    """What handlers use of a tokenizer."""

    vocab_size: int
    """Token ids are below this."""
    stop_token_ids: frozenset[int]
    """Tokens with which the model says that it is done."""

    async def encode(self, text: str, *, special_tokens: bool = True, at_most: int | None = None) -> list[int]:
        """Tokens of `text`; special_tokens adds what the model expects around it, such as a begin-of-text token.

        `at_most` is how many tokens are of use: a text that is sure to have more is not read, which is a TextTooLong.
        One that has more by less may still be returned.
        """
        ...

    async def encode_chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        generation_prompt: bool = True,
        at_most: int | None = None,
        tools: Sequence[Mapping[str, Any]] = (),
        settings: Mapping[str, Any] | None = None,
    ) -> list[int]:
        """Tokens of the conversation and, with generation_prompt, of the opening of the model's turn.

        tools: functions that the model may call, as OpenAI's API has them; settings: variables of the chat template.
        Raises ChatTemplateMissing, ChatTemplateRefused, ToolsNotInTemplate and TextTooLong.
        """
        ...

    def template_takes(self, setting: str) -> bool:
        """Whether the chat template has a variable of this name that is not made from the conversation."""
        ...

    def special_tokens(self, texts: Iterable[str]) -> dict[str, int]:
        """Ids of those texts that are special tokens, which `decode` leaves out."""
        ...

    def decode(
        self, token_ids: Sequence[int], *, special_tokens: bool = False, shown: frozenset[int] = frozenset()
    ) -> str:
        """Text of the tokens, special ones left out unless asked for, all or those `shown`.

        Bytes that are no UTF-8 become U+FFFD.
        """
        ...

    def token_texts(self, token_ids: Sequence[int]) -> list[str]:
        """The tokens as the vocabulary writes them; one that it does not have is an empty text."""
        ...

    def token_bytes(self, token_id: int) -> bytes:
        """What a single token stands for, special tokens by their names; not always whole characters."""
        ...


class ModelTokenizer:
    """A `Tokenizer` over the files of a model."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, *, vocab_size: int, stop_token_ids: frozenset[int]) -> None:
        self.vocab_size = vocab_size
        self.stop_token_ids = stop_token_ids
        self.pretrained = tokenizer
        self._backend = tokenizer.backend_tokenizer
        # Some tokenizer.json files carry the lengths of their training run, which would cut or pad prompts in silence.
        self._backend.no_truncation()
        self._backend.no_padding()
        self._token_bytes = TokenBytes(self._backend)
        self._bound = text_bound(self._backend)
        self._long_texts = asyncio.Semaphore(_LONG_TEXTS)

    async def encode(self, text: str, *, special_tokens: bool = True, at_most: int | None = None) -> list[int]:
        if len(text) < _LONG_TEXT:
            token_ids = self._encode(text, special_tokens)
            # a request may have a hundred such texts, between which other streams have their turns
            await asyncio.sleep(0)
            return token_ids
        if at_most is not None and self._bound and (fewest := self._bound.fewest_tokens(text)) > at_most:
            raise TextTooLong(len(text), fewest)
        async with self._long_texts:
            return await asyncio.to_thread(self._encode, text, special_tokens)

    async def encode_chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        generation_prompt: bool = True,
        at_most: int | None = None,
        tools: Sequence[Mapping[str, Any]] = (),
        settings: Mapping[str, Any] | None = None,
    ) -> list[int]:
        prompt = self.render_chat(messages, generation_prompt=generation_prompt, tools=tools, settings=settings)
        # Templates write the special tokens themselves.
        return await self.encode(prompt, special_tokens=False, at_most=at_most)

    def render_chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        generation_prompt: bool = True,
        tools: Sequence[Mapping[str, Any]] = (),
        settings: Mapping[str, Any] | None = None,
    ) -> str:
        """The prompt that the chat template makes of the messages."""
        template = self.pretrained.chat_template
        # A model may have several, for tools or for retrieval; what is asked for here is the one for conversations.
        if not (template.get("default") if isinstance(template, dict) else template):
            raise ChatTemplateMissing("this model has no chat template")
        options = {**(settings or {}), "add_generation_prompt": generation_prompt}
        rendered = self._render(messages, tools, options)
        if tools and rendered == self._render(messages, (), options):
            raise ToolsNotInTemplate("this model's chat template takes no tools")
        return rendered

    def template_takes(self, setting: str) -> bool:
        template = self.pretrained.chat_template
        sources = list(template.values()) if isinstance(template, dict) else [template or ""]
        own = {"messages", *self.pretrained.special_tokens_map}
        own.update(inspect.signature(self.pretrained.apply_chat_template).parameters)
        return setting not in own and any(re.search(rf"\b{re.escape(setting)}\b", source) for source in sources)

    def special_tokens(self, texts: Iterable[str]) -> dict[str, int]:
        return {text: self._special[text] for text in texts if text in self._special}

    @cached_property
    def _special(self) -> dict[str, int]:
        added = self._backend.get_added_tokens_decoder()
        return {token.content: token_id for token_id, token in added.items() if token.special}

    def decode(
        self, token_ids: Sequence[int], *, special_tokens: bool = False, shown: frozenset[int] = frozenset()
    ) -> str:
        if special_tokens or shown.isdisjoint(token_ids):
            return self._backend.decode(token_ids, skip_special_tokens=not special_tokens)
        text, begin = "", 0
        for position, token_id in enumerate(token_ids):
            if token_id in shown:
                text += self._backend.decode(token_ids[begin:position], skip_special_tokens=True)
                text += self._backend.id_to_token(token_id) or ""
                begin = position + 1
        return text + self._backend.decode(token_ids[begin:], skip_special_tokens=True)

    def _render(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]], options: Mapping[str, Any]
    ) -> str:
        try:
            rendered = self.pretrained.apply_chat_template(
                [dict(message) for message in messages],
                tools=[dict(tool) for tool in tools] or None,
                tokenize=False,
                **options,
            )
        except Exception as error:  # a template is a program of the model's makers
            raise ChatTemplateRefused(str(error)) from error
        return str(rendered)

    def token_texts(self, token_ids: Sequence[int]) -> list[str]:
        return [self._backend.id_to_token(token_id) or "" for token_id in token_ids]

    def token_bytes(self, token_id: int) -> bytes:
        return self._token_bytes(token_id)

    def _encode(self, text: str, special_tokens: bool) -> list[int]:
        # The batch call, unlike the single one, releases the interpreter's lock; "fast" leaves character offsets out.
        return self._backend.encode_batch_fast([text], add_special_tokens=special_tokens)[0].ids


def load_tokenizer(model_dir: Path, *, trust_remote_code: bool = False) -> ModelTokenizer:
    """Read the tokenizer of a model directory. Raises StartupFailure with reason TokenizerInvalid."""
    try:
        return _read(model_dir, trust_remote_code)
    except StartupFailure:
        raise
    except Exception as error:  # the tokenizers library raises Exception itself
        raise StartupFailure("TokenizerInvalid", f"cannot read the tokenizer in {model_dir}: {error}") from error


def _read(model_dir: Path, trust_remote_code: bool) -> ModelTokenizer:
    tokenizer = _load(model_dir, trust_remote_code)
    if getattr(tokenizer, "backend_tokenizer", None) is None:
        raise StartupFailure(
            "TokenizerInvalid",
            f"{type(tokenizer).__name__} of {model_dir} is not based on the tokenizers library; "
            "add a tokenizer.json to the model",
        )
    config = _read_json(model_dir / "config.json")
    generation = _read_json(model_dir / "generation_config.json")
    own = {"eos_token_id": tokenizer.eos_token_id}
    return ModelTokenizer(
        tokenizer,
        vocab_size=int(config.get("vocab_size") or len(tokenizer)),
        stop_token_ids=frozenset(_stop_token_ids(own) + _stop_token_ids(config) + _stop_token_ids(generation)),
    )


def _load(model_dir: Path, trust_remote_code: bool) -> PreTrainedTokenizerFast:
    if (model_dir / "tokenizer.json").is_file() and not trust_remote_code:
        from transformers.tokenization_utils_tokenizers import PreTrainedTokenizerFast

        return PreTrainedTokenizerFast.from_pretrained(model_dir, local_files_only=True)
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(model_dir, local_files_only=True, trust_remote_code=trust_remote_code)


def _read_json(path: Path) -> dict[str, Any]:
    content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if not isinstance(content, dict):
        raise ValueError(f"{path.name} is no JSON object")
    return content


def _stop_token_ids(config: dict[str, Any]) -> list[int]:
    """`eos_token_id` as a list: chat models often have two, the end of the text and the end of a turn."""
    match config.get("eos_token_id"):
        case None:
            return []
        case list() as token_ids:
            return token_ids
        case token_id:
            return [token_id]
