"""Rows as the text that the model sees."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import cast

import jinja2
from transformers import PreTrainedTokenizerBase

from presets.tuning_job import TuningJob
from tuning.data.errors import DataError
from tuning.data.messages import Message
from tuning.data.rows import Row

_REFUSALS = (jinja2.TemplateError, TypeError, ValueError, KeyError, AttributeError)
"""What a template makes of messages that it is not for."""


class Refused(Exception):
    """The chat template does not take a row, such as one with a system's message."""


class Renderer:
    """`has_template` tells whether rows may be messages at all."""

    def __init__(self, job: TuningJob, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self._template = chat_template(job)
        self._eos = str(tokenizer.eos_token or "")
        self.has_template = bool(self._template or tokenizer.chat_template)

    def whole(self, row: Row) -> str:
        """All of a row; trl ends what goes through no template with the end-of-sequence token. Raises Refused and
        DataError (ChatTemplateBroken)."""
        if is_plain(row):
            content = row["text"] if "text" in row else row["prompt"] + row["completion"]
            return content if content.endswith(self._eos) else content + self._eos
        said = row["messages"] if "messages" in row else [*row["prompt"], *row["completion"]]
        return self._rendered(said, generate=False)

    def asked(self, row: Row) -> str:
        """What stands before the first answer."""
        if is_plain(row):
            return row.get("prompt", "")
        said = asked_messages(row)
        return self._rendered(said, generate=True) if said else ""

    def _rendered(self, said: Sequence[Message], *, generate: bool) -> str:
        try:
            rendered = self._tokenizer.apply_chat_template(
                cast("list[dict[str, str]]", said),
                chat_template=self._template,
                tokenize=False,
                add_generation_prompt=generate,
            )
        except jinja2.TemplateSyntaxError as error:
            raise DataError(
                "ChatTemplateBroken", f"the chat template is no Jinja, line {error.lineno} ({error}): correct it"
            ) from error
        except _REFUSALS as error:
            raise Refused(str(error) or type(error).__name__) from error
        return cast("str", rendered)


def is_plain(row: Row) -> bool:
    """Whether a row goes through no chat template."""
    return "text" in row or isinstance(row.get("prompt"), str)


def asked_messages(row: Row) -> Sequence[Message]:
    """The messages before the first answer."""
    if "prompt" in row:
        return row["prompt"]
    return list(takewhile(lambda message: message["role"] != "assistant", row["messages"]))


def chat_template(job: TuningJob) -> str | None:
    """The job's own, read where it is a path; None for the tokenizer's. Raises DataError (ChatTemplateMissing)."""
    given = job.chat_template
    # No path has these, and every template has.
    if given is None or "{" in given or "\n" in given:
        return given
    try:
        return Path(given).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise DataError(
            "ChatTemplateMissing",
            f"the chat template {given} cannot be read ({error}): correct the path, or write the template itself",
        ) from error
