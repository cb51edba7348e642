"""Where a chat template may stand, the blocks that mark answers in it, and formats without one."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from codecascade.ground.errors import UserError
from codecascade.tokens.chat import (
    Message,
    chat_stop_ids,
    chat_token_ids,
    encode_chat,
    encode_dialogue,
    encode_reply_start,
    with_chat_format,
)
from codecascade.tokens.files import tokenizer_json
from codecascade.tokens.files.gguf import tokenizer_from_gguf
from codecascade.tokens.tokenizer import Tokenizer, load_tokenizer

TEMPLATE = "{% for m in messages %}{{ 'mine ' + m.content }}{% endfor %}"
OTHER = "{{ raise_exception('not this one') }}"


def said(tokenizer: Tokenizer) -> str:
    return tokenizer.decode(encode_chat(tokenizer, [Message("user", "x")]))


@pytest.mark.parametrize(
    "files",
    [
        {"chat_template.jinja": TEMPLATE},
        {"chat_template.json": json.dumps({"chat_template": TEMPLATE})},
        {"tokenizer_config.json": {"chat_template": TEMPLATE}},
        {"tokenizer_config.json": {"chat_template": [{"name": "default", "template": TEMPLATE}]}},
        {
            "tokenizer_config.json": {
                "chat_template": [
                    {"name": "tool_use", "template": OTHER},
                    {"name": "default", "template": TEMPLATE},
                ]
            }
        },
        {"tokenizer_config.json": {"chat_template": [{"name": "chat", "template": TEMPLATE}]}},
        {"tokenizer_config.json": {"chat_template": {"default": TEMPLATE, "rag": OTHER}}},
        {"tokenizer_config.json": {"chat_template": OTHER}, "chat_template.jinja": TEMPLATE},
        {"tokenizer_config.json": {"chat_template": TEMPLATE}, "chat_template.json": '{"chat_template": 1}'},
    ],
)
def test_a_template_is_found(byte_level: Tokenizer, files: dict[str, Any], tmp_path: Path) -> None:
    byte_level.save(tmp_path)
    for name, content in files.items():
        if isinstance(content, dict):
            content = json.dumps({**json.loads((tmp_path / name).read_text()), **content})
        (tmp_path / name).write_text(content)
    assert said(load_tokenizer(tmp_path)) == "mine x"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (1, "must be text"),
        ([1], "must be text, or a list of named templates"),
        ([{"name": "a", "template": "x"}, {"name": "b", "template": "y"}], "one template named 'default'"),
        ([{"name": "default", "template": 3}], "must be text"),
        ("x" * (1 << 21), "is longer than"),
    ],
)
@pytest.mark.parametrize("name", ["tokenizer_config.json", "chat_template.json"])
def test_a_broken_template_is_named(
    byte_level: Tokenizer, name: str, value: Any, message: str, tmp_path: Path
) -> None:
    byte_level.save(tmp_path)
    file = tmp_path / name
    config = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps({**config, "chat_template": value}))
    with pytest.raises(UserError, match=message) as error:
        load_tokenizer(tmp_path)
    assert name in str(error.value) and "chat_template" in str(error.value)


def test_a_gguf_files_named_templates() -> None:
    pieces = [*tokenizer_json.byte_alphabet(), "<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    plain: dict[str, Any] = {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.tokens": pieces,
        "tokenizer.ggml.token_type": [1] * 256 + [3] * 3,
        "tokenizer.ggml.merges": [],
        "tokenizer.ggml.eos_token_id": 256,
    }
    for named in (
        {"tokenizer.chat_template": TEMPLATE, "tokenizer.chat_template.tool_use": OTHER},
        {"tokenizer.chat_template.default": TEMPLATE, "tokenizer.chat_template.tool_use": OTHER},
        {"tokenizer.chat_template.chat": TEMPLATE},
    ):
        assert said(tokenizer_from_gguf({**plain, **named})) == "mine x"
    assert tokenizer_from_gguf(plain).chat_format == "chatml"


# ------------------------------------------------------------------------------------ marked answers


MARKED = (
    "{% for m in messages %}{% if m.role == 'assistant' %}"
    "A: {% generation %}{{ m.content ~ ' |' }}{% endgeneration %}"
    "{% else %}{{ 'U: ' ~ m.content }}{% endif %}\n{% endfor %}{% if add_generation_prompt %}{{ 'A:' }}{% endif %}"
)


def test_marked_answers_are_what_is_learnt(byte_level: Tokenizer) -> None:
    """A template without a token that ends an answer says itself what belongs to one."""
    tokenizer = byte_level.with_chat_template(MARKED)
    messages = [
        Message("user", "a"),
        Message("assistant", "b"),
        Message("user", "c"),
        Message("assistant", "d"),
    ]
    ids, is_answer = encode_dialogue(tokenizer, messages)
    assert tokenizer.decode_continuation(ids) == "U: aA: b |U: cA: d |"
    answers = [token_id for token_id, answer in zip(ids, is_answer, strict=True) if answer]
    assert tokenizer.decode_continuation(answers) == "b |d |"
    unmarked = byte_level.with_chat_template(re.sub("{% (end)?generation %}", "", MARKED))
    with pytest.raises(UserError, match="does not tell where an answer begins and ends"):
        encode_dialogue(unmarked, messages)


UNCLEAR = {
    "{% for m in messages %}{{ m.role ~ ': ' ~ m.content ~ '\n###\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant:' }}{% endif %}": "it writes '###' after an answer",
    "{% for m in messages %}{{ m.role ~ ': ' ~ (m.content | upper) ~ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant:' }}{% endif %}": "it changes the text of an answer",
    "{% for m in messages %}{{ m.role ~ (m.content | length) ~ ': ' ~ m.content ~ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant:' }}{% endif %}": "depends on what it says",
    "{% for m in messages %}{{ m.content ~ '\n' }}{% if loop.last %}{{ m.content }}{% endif %}{% endfor %}": (
        "depends on what it says"
    ),
}


@pytest.mark.parametrize("template", UNCLEAR)
def test_an_answer_that_can_not_be_told_is_refused_with_the_reason(
    byte_level: Tokenizer, template: str
) -> None:
    messages = [Message("user", "ask"), Message("assistant", "given answer")]
    with pytest.raises(UserError, match=UNCLEAR[template]):
        encode_dialogue(byte_level.with_chat_template(template), messages)


def test_blocks_that_touch_are_one_answer_and_more_blocks_than_answers_are_refused(
    byte_level: Tokenizer,
) -> None:
    twice = MARKED.replace(
        "{{ m.content ~ ' |' }}{% endgeneration %}",
        "{{ m.content }}{% endgeneration %}{% generation %}{{ ' |' }}{% endgeneration %}",
    )
    messages = [Message("user", "a"), Message("assistant", "b")]
    marked = encode_dialogue(byte_level.with_chat_template(MARKED), messages)
    assert encode_dialogue(byte_level.with_chat_template(twice), messages) == marked
    apart = twice.replace("{% endgeneration %}{% generation %}", "{% endgeneration %} - {% generation %}")
    with pytest.raises(UserError, match=r"marks 2 texts by \{% generation %\} in a dialogue with 1 answers"):
        encode_dialogue(byte_level.with_chat_template(apart), messages)


def test_the_masks_of_marked_answers_are_transformers(byte_level: Tokenizer, tmp_path: Path) -> None:
    import transformers

    template = MARKED.replace("A: {%", "{{ 'A:' }}{%").replace("m.content ~ ' |'", "' ' ~ m.content ~ '\\n'")
    tokenizer = byte_level.with_chat_template(template)
    tokenizer.save(tmp_path)
    messages = [{"role": "user", "content": "ask"}, {"role": "assistant", "content": "given answer"}]
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path).apply_chat_template(
        messages, return_dict=True, return_assistant_tokens_mask=True
    )
    ids, is_answer = encode_dialogue(tokenizer, [Message(**message) for message in messages])
    assert ids == theirs["input_ids"] and is_answer == [bool(each) for each in theirs["assistant_masks"]]


# ------------------------------------------------------------------------------------ Code Llama 70B


@pytest.fixture(scope="session")
def stepping(llama: Tokenizer) -> Tokenizer:
    """A vocabulary with Code Llama 70B's end of a turn, and no template."""
    return llama.with_vocabulary([tokenizer_json.added_token("<step>", llama.vocab_size)])


def test_the_steps_of_code_llama_70b(stepping: Tokenizer) -> None:
    encode, step = stepping.encode, stepping.vocabulary["<step>"]
    assert stepping.chat_format == "step" and with_chat_format(stepping) is stepping
    header = [*encode(" Source: assistant\nDestination: user"), *encode("\n\n ")]
    question = [*encode(" Source: user"), *encode("\n\n hi"), step]
    prompt = [1, *encode(" Source: system"), step, *question, *header]
    assert encode_chat(stepping, [Message("user", " hi\n")]) == prompt
    messages = [
        Message("system", "s"),
        Message("user", "hi"),
        Message("assistant", "yes "),
        Message("user", "hi"),
    ]
    told = [*encode(" Source: assistant"), *encode("\n\n yes"), step]
    system = [*encode(" Source: system"), *encode("\n\n s"), step]
    assert encode_chat(stepping, messages) == [1, *system, *question, *told, *question, *header]
    assert step in chat_stop_ids(stepping)
    assert encode_reply_start(stepping, messages, "def") == stepping.encode_continuation("def")


def test_steps_to_train_on(stepping: Tokenizer) -> None:
    step = stepping.vocabulary["<step>"]
    messages = [
        Message("user", "a"),
        Message("assistant", "b"),
        Message("user", "c"),
        Message("assistant", "d <step> "),
    ]
    ids, is_answer = encode_dialogue(stepping, messages)
    prompt = encode_chat(stepping, messages[:-1])
    assert ids == [*prompt, *stepping.encode_continuation("d <step>"), step]
    assert is_answer == [False] * len(prompt) + [True] * (len(ids) - len(prompt))
    assert ids.count(step) == 5


def test_any_tokenizer_can_be_given_the_steps(llama: Tokenizer, tmp_path: Path) -> None:
    templated = llama.with_chat_template("{{ messages }}")
    for plain in (llama, templated):
        tokenizer = with_chat_format(plain, "step")
        assert tokenizer.chat_format == "step" and tokenizer.vocab_size == llama.vocab_size + 1
        assert chat_token_ids(tokenizer) == (llama.vocab_size,)
        tokenizer.save(tmp_path)
        again = load_tokenizer(tmp_path)
        messages = [Message("user", "a"), Message("assistant", "b")]
        assert again.chat_format == "step" and encode_dialogue(again, messages) == encode_dialogue(
            tokenizer, messages
        )
    assert chat_token_ids(llama) == ()


def test_a_piece_of_code_llamas_vocabulary_is_a_control_token(llama: Tokenizer) -> None:
    names = ("▁<PRE>", "▁<SUF>", "▁<MID>", "▁<EOT>", "<step>")
    vocab = {**llama.spec["model"]["vocab"], **{name: llama.vocab_size + n for n, name in enumerate(names)}}
    tokenizer = Tokenizer({**llama.spec, "model": {**llama.spec["model"], "vocab": vocab}}, llama.config)
    assert {tokenizer.vocabulary[name] for name in names} <= tokenizer.special_ids
    assert tokenizer.chat_format == "step"
