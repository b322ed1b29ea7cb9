"""A model's tokenizer is read as its makers published it, and what is wrong with it is said at the start."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer as ReferenceTokenizer
from tokenizers import models, pre_tokenizers, processors

from serving.errors import StartupFailure
from serving.text.tokenizer import (
    ChatTemplateMissing,
    ChatTemplateRefused,
    ModelTokenizer,
    ToolsNotInTemplate,
    load_tokenizer,
)

HELLO = [{"role": "user", "content": "Hello"}]
WORDS = ["<s>", "</s>", "<turn>", "one", "two", "three"]
TEMPLATE = "{% for m in messages %}{{ m['content'] }} {% endfor %}<turn>"


@pytest.fixture
def model_dir(tmp_path: Path) -> Path:
    """A model of six words, without a chat template."""
    tokenizer = ReferenceTokenizer(models.WordLevel({word: index for index, word in enumerate(WORDS)}, "<s>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    tokenizer.add_special_tokens(WORDS[:3])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    write(tmp_path, "tokenizer_config.json", {"bos_token": "<s>", "eos_token": "</s>"})
    write(tmp_path, "config.json", {"vocab_size": 8, "eos_token_id": 1})
    return tmp_path


def write(model_dir: Path, name: str, content: object) -> None:
    (model_dir / name).write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")


def encode(tokenizer: ModelTokenizer, text: str, **options: Any) -> list[int]:
    return asyncio.run(tokenizer.encode(text, **options))


@pytest.mark.parametrize("text", ["The capital of France is", " 👩‍🚀 你好\n", "<|im_start|>user\n", "long " * 10_000])
def test_smollm2_is_read_as_the_tokenizers_library_reads_it(
    smollm2_tokenizer: ModelTokenizer, reference_tokenizer: ReferenceTokenizer, text: str
) -> None:
    token_ids = encode(smollm2_tokenizer, text)
    assert token_ids == reference_tokenizer.encode(text).ids
    assert smollm2_tokenizer.decode(token_ids) == text.removeprefix("<|im_start|>")


def test_other_work_has_a_turn_between_texts(smollm2_tokenizer: ModelTokenizer) -> None:
    async def turns_while_encoding(texts: int) -> int:
        turns = 0

        async def others() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        work = asyncio.create_task(others())
        for _ in range(texts):
            await smollm2_tokenizer.encode("a word")
        work.cancel()
        return turns

    assert asyncio.run(turns_while_encoding(20)) >= 20


def test_a_conversation_ends_with_the_opening_of_the_model_s_turn(
    smollm2_tokenizer: ModelTokenizer, reference_tokenizer: ReferenceTokenizer
) -> None:
    prompt = reference_tokenizer.encode(
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
        "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"
    )
    assert asyncio.run(smollm2_tokenizer.encode_chat(HELLO)) == prompt.ids


def test_smollm2_says_with_which_token_a_turn_ends(
    smollm2_tokenizer: ModelTokenizer, reference_tokenizer: ReferenceTokenizer
) -> None:
    assert smollm2_tokenizer.stop_token_ids == {reference_tokenizer.token_to_id("<|im_end|>")}
    assert smollm2_tokenizer.vocab_size == 49152


def test_special_tokens_are_added_to_a_text_but_not_to_a_conversation(model_dir: Path) -> None:
    write(model_dir, "chat_template.jinja", TEMPLATE)
    tokenizer = load_tokenizer(model_dir)
    assert encode(tokenizer, "one two") == [0, 3, 4]
    assert encode(tokenizer, "one two", special_tokens=False) == [3, 4]
    assert asyncio.run(tokenizer.encode_chat([{"role": "user", "content": "one two"}])) == [3, 4, 2]


def test_the_ends_of_a_turn_are_collected_from_all_files(model_dir: Path) -> None:
    write(model_dir, "generation_config.json", {"eos_token_id": [1, 2]})
    tokenizer = load_tokenizer(model_dir)
    assert tokenizer.stop_token_ids == {1, 2}
    assert tokenizer.vocab_size == 8, "the model's, which may be more than the tokenizer's"


def test_a_tokenizer_without_the_model_s_config_is_enough(model_dir: Path) -> None:
    (model_dir / "config.json").unlink()
    tokenizer = load_tokenizer(model_dir)
    assert (tokenizer.vocab_size, tokenizer.stop_token_ids) == (len(WORDS), {1})


def test_the_lengths_of_a_training_run_neither_cut_nor_fill_a_prompt(model_dir: Path) -> None:
    trained = ReferenceTokenizer.from_file(str(model_dir / "tokenizer.json"))
    trained.enable_truncation(3)
    trained.enable_padding(length=10)
    trained.save(str(model_dir / "tokenizer.json"))
    assert len(encode(load_tokenizer(model_dir), "one two three one two three")) == 7


@pytest.mark.parametrize("templates", [None, [{"name": "tool_use", "template": TEMPLATE}]], ids=["none", "tools only"])
def test_a_model_without_a_chat_template_loads_but_makes_no_prompt_of_a_conversation(
    model_dir: Path, templates: object
) -> None:
    config = {"bos_token": "<s>", "eos_token": "</s>"}
    write(model_dir, "tokenizer_config.json", config | ({"chat_template": templates} if templates else {}))
    tokenizer = load_tokenizer(model_dir)
    assert encode(tokenizer, "one") == [0, 3]
    with pytest.raises(ChatTemplateMissing):
        tokenizer.render_chat(HELLO)


def test_of_several_chat_templates_the_default_is_used(model_dir: Path) -> None:
    templates = [{"name": "rag", "template": "x"}, {"name": "default", "template": TEMPLATE}]
    write(model_dir, "tokenizer_config.json", {"eos_token": "</s>", "chat_template": templates})
    assert load_tokenizer(model_dir).render_chat(HELLO) == "Hello <turn>"


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("{{ raise_exception('roles must alternate') }}", "roles must alternate"),
        ("{% for part in messages[0].content %}{{ part.text + '' }}{% endfor %}", "no attribute 'text'"),
        ("{{ messages[0].content + 1 }}", "concatenate"),
        ("{% for %}", "expression"),
    ],
    ids=["refusal", "undefined", "type", "syntax"],
)
def test_a_chat_template_that_fails_says_why(model_dir: Path, template: str, says: str) -> None:
    write(model_dir, "chat_template.jinja", template)
    with pytest.raises(ChatTemplateRefused, match=says):
        load_tokenizer(model_dir).render_chat(HELLO)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("tokenizer.json", "{"),
        ("tokenizer.json", "{}"),
        ("tokenizer.json", None),
        ("tokenizer_config.json", "[]"),
        ("config.json", "[]"),
        ("config.json", "{"),
        ("generation_config.json", "\x00"),
    ],
    ids=lambda value: repr(value),
)
def test_a_tokenizer_that_cannot_be_read_is_a_failure_of_the_start(
    model_dir: Path, name: str, content: str | None
) -> None:
    if content is None:
        (model_dir / name).unlink()
    else:
        write(model_dir, name, content)
    with pytest.raises(StartupFailure, match="cannot read the tokenizer") as caught:
        load_tokenizer(model_dir)
    assert caught.value.reason == "TokenizerInvalid"
    assert str(model_dir) in caught.value.message


def test_a_special_token_is_shown_where_it_is_a_marker(
    smollm2_tokenizer: ModelTokenizer, reference_tokenizer: ReferenceTokenizer
) -> None:
    ids = reference_tokenizer.encode("<|im_start|>one <|im_end|> two<|im_start|>").ids
    marker = smollm2_tokenizer.special_tokens(["<|im_end|>", "one"])
    assert marker == {"<|im_end|>": reference_tokenizer.token_to_id("<|im_end|>")}
    assert smollm2_tokenizer.decode(ids, shown=frozenset(marker.values())) == "one <|im_end|> two"
    assert smollm2_tokenizer.decode(ids) == "one  two"


TOOL: dict[str, Any] = {"type": "function", "function": {"name": "look_up"}}


def test_a_template_without_tools_is_told_from_one_with(model_dir: Path) -> None:
    write(model_dir, "chat_template.jinja", TEMPLATE)
    with pytest.raises(ToolsNotInTemplate):
        load_tokenizer(model_dir).render_chat(HELLO, tools=[TOOL])
    write(model_dir, "chat_template.jinja", "{% for t in tools or [] %}{{ t.function.name }} {% endfor %}" + TEMPLATE)
    assert load_tokenizer(model_dir).render_chat(HELLO, tools=[TOOL]) == "look_up Hello <turn>"


def test_a_template_takes_the_settings_that_it_names_and_nothing_of_its_own_making(model_dir: Path) -> None:
    write(model_dir, "chat_template.jinja", "{{ bos_token }}{% if loud %}LOUD {% endif %}" + TEMPLATE)
    tokenizer = load_tokenizer(model_dir)
    assert tokenizer.template_takes("loud")
    assert not any(map(tokenizer.template_takes, ("lou", "messages", "bos_token", "tools", "quiet")))
    assert tokenizer.render_chat(HELLO, settings={"loud": True}) == "<s>LOUD Hello <turn>"


def test_whatever_a_template_raises_is_its_refusal(model_dir: Path) -> None:
    write(model_dir, "chat_template.jinja", "{{ 1 // (messages | length - 1) }}")
    with pytest.raises(ChatTemplateRefused, match="division"):
        load_tokenizer(model_dir).render_chat(HELLO)
