"""Control text in a message comes out as ordinary text, whatever the family and whatever the template does to it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codecascade.ground.errors import UserError
from codecascade.tokens.chat import Message, encode_chat, encode_reply_start
from codecascade.tokens.templates.control_text import Disguise, control_text
from codecascade.tokens.tokenizer import Tokenizer

from ..conftest import texts
from .families import FAMILIES, Family, tokenizer_of

Case = tuple[Family, Tokenizer]
SPELLINGS = (
    "<|im_end|>",
    "<|im_start|>",
    "[/INST]",
    "[INST]",
    "<<SYS>>",
    "<</SYS>>",
    "<step>",
    "</s>",
    "<s>",
    "<|eot_id|>",
    "<|end|>",
    "<|user|>",
    "<|assistant|>",
    "<end_of_turn>",
    "<start_of_turn>",
    "<|end_of_text|>",
    "<|EOT|>",
    "<｜end▁of▁sentence｜>",
    "### Response:",
    "\nAnswer:\n",
    "ASSISTANT:",
    "\nSource: assistant\n",
)
hostile = st.lists(st.one_of(st.sampled_from(SPELLINGS), texts), max_size=4).map("".join)


@pytest.fixture(scope="session", params=FAMILIES)
def case(request: pytest.FixtureRequest) -> Case:
    family = FAMILIES[request.param]
    plain = request.getfixturevalue("llama" if family.kind == "llama" else "byte_level")
    return family, tokenizer_of(family, plain)


def conversation(family: Family, text: str) -> list[Message]:
    roles = [*(["system"] if family.system else []), "user", "assistant", "user"]
    return [Message(role, text) for role in roles]


def count(tokenizer: Tokenizer, ids: list[int]) -> int:
    return sum(token_id in tokenizer.special_ids for token_id in ids)


@settings(max_examples=15)
@given(text=hostile)
def test_no_message_can_forge_a_control_token(case: Case, text: str) -> None:
    family, tokenizer = case
    honest = count(tokenizer, encode_chat(tokenizer, conversation(family, "x")))
    ids = encode_chat(tokenizer, conversation(family, text))
    assert count(tokenizer, ids) == honest
    assert not count(
        tokenizer, encode_reply_start(tokenizer, conversation(family, "x"), text or "x")
    ) - count(tokenizer, encode_reply_start(tokenizer, conversation(family, "x"), "x"))


def test_what_the_message_says_is_still_there(case: Case) -> None:
    family, tokenizer = case
    for spelling in SPELLINGS:
        text = f"a{spelling}b"
        decoded = tokenizer.decode(encode_chat(tokenizer, conversation(family, text))).replace("\u200b", "")
        if family.kind == "llama":
            # SentencePiece's letter for a space is a space
            text = text.replace("▁", " ")
        assert decoded.count(text) == len(conversation(family, text)), spelling


def test_tags_that_are_ordinary_text_are_spelled_out(case: Case) -> None:
    family, tokenizer = case
    for tag in family.tags:
        ids = tokenizer.encode_continuation(tag.strip())

        def found(dialogue: list[Message], ids: list[int] = ids) -> int:
            written = encode_chat(tokenizer, dialogue)
            return sum(written[at : at + len(ids)] == ids for at in range(len(written)))

        # a word such as "Answer:" is a tag only as a line of its own
        attack = f"a\n{tag}b x\n{tag}" + ("" if tag.endswith("\n") else f" [{tag}] {tag}")
        honest = found(conversation(family, "x"))
        if len(ids) > 1:
            assert found(conversation(family, attack)) == honest


# ------------------------------------------------------------------------------- templates that change contents

CHANGES = {
    "trim": ("m.content | trim", str.strip),
    "upper": ("m.content | upper", str.upper),
    "replace": ("m.content.replace('x', '')", lambda text: text.replace("x", "")),
    "slice": ("m.content[1:-1]", lambda text: text[1:-1]),
    "reversed": ("m.content[::-1]", lambda text: text[::-1]),
    "lines": ("m.content.split('\\n') | join('\\n> ')", lambda text: "\n> ".join(text.split("\n"))),
    "letters": ("m.content | list | join('')", lambda text: text),
    "split": ("m.content.split('</think>')[-1]", lambda text: text.split("</think>")[-1]),
    "without-tag": ("m.content | replace('<b>', '')", lambda text: text.replace("<b>", "")),
    "length": ("m.content ~ (m.content | length)", lambda text: f"{text}{len(text)}"),
    "format": ("'%s' | format(m.content)", lambda text: text),
    "words": ("m.content.split(' ') | join('_')", lambda text: "_".join(text.split(" "))),
}
PARTS = (
    "<",
    "|",
    ">",
    "<|",
    "|>",
    "im_end",
    "<|im_end|>",
    "x",
    "<b>",
    "</think>",
    " ",
    "\n",
    "a",
    "<|im_",
    "end|>",
)


@pytest.mark.parametrize("change", CHANGES)
@settings(max_examples=25)
@given(parts=st.lists(st.sampled_from(PARTS), max_size=8))
def test_changed_contents_are_what_the_template_makes_of_them(
    byte_level: Tokenizer, change: str, parts: list[str]
) -> None:
    expression, in_python = CHANGES[change]
    template = "{% for m in messages %}{{ '<|im_start|>' ~ (" + expression + ") ~ '<|im_end|>' }}{% endfor %}"
    tokenizer = byte_level.with_chat_template(template)
    text = "".join(parts)
    ids = encode_chat(tokenizer, [Message("user", text)])
    start, end = tokenizer.vocabulary["<|im_start|>"], tokenizer.vocabulary["<|im_end|>"]
    assert (ids[0], ids[-1], count(tokenizer, ids)) == (start, end, 2)
    assert tokenizer.decode_continuation(ids) == in_python(text)


def test_text_put_together_from_parts_of_a_message_is_no_control_token(byte_level: Tokenizer) -> None:
    """What a template takes out of a message may leave a control token's spelling."""
    template = "{% for m in messages %}{{ m.content | replace('<b>', '') | replace('b', '') }}{% endfor %}"
    tokenizer = byte_level.with_chat_template(template)
    for text in ("<|im_<b>end|>", "<b<b>>", "<|im_bend|>", "<|i<b>m_end|<b>>"):
        ids = encode_chat(tokenizer, [Message("user", text)])
        assert not count(tokenizer, ids)


@pytest.mark.parametrize(
    "expression",
    [
        "'<|' ~ m.content ~ '|>'",
        "'<|im_' ~ m.content | trim ~ '|>'",
        "'x<' ~ m.content[1:] ~ 'd|>y'",
        "m.role ~ '<|' ~ m.content.split(':')[0] ~ '|>' ~ m.content",
    ],
)
def test_a_template_that_writes_both_ends_of_a_control_token_is_refused(
    byte_level: Tokenizer, expression: str
) -> None:
    tokenizer = byte_level.with_chat_template("{% for m in messages %}{{ " + expression + " }}{% endfor %}")
    with pytest.raises(UserError, match="around a message, which could so be the control token"):
        encode_chat(tokenizer, [Message("user", "hello")])


@pytest.mark.parametrize(
    "expression",
    [
        "'<b>' ~ m.content ~ '</b>'",
        "'<|im_' ~ m.content",
        "m.content ~ '|>'",
        "'<| ' ~ m.content ~ ' |>'",
        "'<|im_start|>' ~ m.content ~ '<|im_end|>'",
        "'<|' ~ m.role ~ '|>' ~ m.content",
    ],
)
@pytest.mark.parametrize("text", ["im_end", "<|im_end|>", "end", "end|>", "<|im_"])
def test_other_frames_are_not_refused_and_let_no_control_token_be_forged(
    byte_level: Tokenizer, expression: str, text: str
) -> None:
    tokenizer = byte_level.with_chat_template("{% for m in messages %}{{ " + expression + " }}{% endfor %}")
    honest = encode_chat(tokenizer, [Message("user", "hello")])
    assert count(tokenizer, encode_chat(tokenizer, [Message("user", text)])) == count(tokenizer, honest)


def test_a_template_finds_its_own_strings_in_messages(byte_level: Tokenizer) -> None:
    template = (
        "{% for m in messages %}said: {% if '<tool_response>' in m.content %}found{% endif %}"
        "{% if m.content.startswith('\\n<|') or '|>' in m.content %}control{% endif %}{% endfor %}"
    )
    tokenizer = byte_level.with_chat_template(template)

    def said(text: str) -> str:
        return tokenizer.decode_continuation(encode_chat(tokenizer, [Message("user", text)]))

    assert said("a <tool_response> b") == "said: found"
    # Strings that are parts of control tokens are not found: a message has none.
    assert said("\n<|im_end|>") == "said: " and said("<|tool_response|>") == "said: "


@settings(max_examples=30)
@given(
    text=hostile, private=st.lists(st.characters(min_codepoint=0xF0000, max_codepoint=0x10FFFD)).map("".join)
)
def test_a_disguise_is_undone(case: Case, text: str, private: str) -> None:
    _, tokenizer = case
    disguise = Disguise(tokenizer, control_text(tokenizer), [text + private])
    hidden = disguise.hide(text + private)
    assert disguise.show(hidden) == text + private and len(hidden) == len(text + private)
    assert re.sub(r"\S", "x", hidden) == re.sub(r"\S", "x", text + private)  # white space is where it was
