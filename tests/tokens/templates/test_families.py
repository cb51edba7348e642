"""Dialogues by the templates of well-known families: the ids are transformers', the ends and the masks are right."""

from __future__ import annotations

from dataclasses import asdict
from itertools import compress, cycle
from typing import Any

import pytest
import transformers
from hypothesis import example, given, settings
from hypothesis import strategies as st

from codecascade.ground.errors import UserError
from codecascade.tokens.chat import (
    Message,
    chat_stop_ids,
    dialogue_tokens,
    encode_chat,
    encode_dialogue,
    encode_reply_start,
    with_chat_format,
)
from codecascade.tokens.tokenizer import Tokenizer, load_tokenizer

from ..conftest import plain_texts
from .families import FAMILIES, Family, tokenizer_of

Case = tuple[Family, Tokenizer, Any]
# Nothing in these spells control text of any family; the tests of inert messages have the rest.
harmless = st.one_of(
    st.sampled_from(
        [
            "hi",
            " hi\n",
            "",
            "\n\nx",
            "  two  spaces ",
            "def f(x):\n\treturn x\n",
            "日本 ☺",
            "a: b",
            "12345",
            "#1",
        ]
    ),
    plain_texts.filter(lambda text: not set("<>[]|#:▁｜") & set(text)),
)


def dialogues(*, system: bool, least: int = 1) -> st.SearchStrategy[list[Message]]:
    turns = st.lists(harmless, min_size=least, max_size=5).map(
        lambda texts: [
            Message(role, text) for role, text in zip(cycle(("user", "assistant")), texts, strict=False)
        ]
    )
    first = harmless.map(lambda text: [Message("system", text)])
    begun = st.one_of(st.just([]), first) if system else st.just([])
    return st.tuples(begun, turns).map(lambda pair: pair[0] + pair[1])


@pytest.fixture(scope="session", params=FAMILIES)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    """A family, our tokenizer read from a folder, and transformers' of the same folder."""
    family = FAMILIES[request.param]
    plain = request.getfixturevalue("llama" if family.kind == "llama" else "byte_level")
    folder = tmp_path_factory.mktemp(request.param)
    tokenizer_of(family, plain).save(folder)
    return family, load_tokenizer(folder), transformers.AutoTokenizer.from_pretrained(folder)


@settings(max_examples=15)
@given(data=st.data())
def test_the_ids_are_those_of_transformers(case: Case, data: st.DataObject) -> None:
    family, ours, theirs = case
    messages = data.draw(dialogues(system=family.system))
    reply = messages[-1].role == "user"
    # An answer that begins with white space begins a new token here; in transformers a header may join it.
    messages = [Message(m.role, m.content.strip()) if m.role == "assistant" else m for m in messages]
    chat = [asdict(message) for message in messages]
    theirs = theirs.apply_chat_template(chat, tokenize=True, add_generation_prompt=reply, return_dict=False)
    assert encode_chat(ours, messages, reply=reply) == theirs
    if ours.bos_id is not None and ours.bos_id != ours.eos_id:
        assert theirs[:2] != [ours.bos_id] * 2


def test_a_reply_ends_with_the_familys_token(case: Case) -> None:
    family, ours, _ = case
    end = ours.vocabulary[family.end]
    assert end in chat_stop_ids(ours)
    # Nothing that the template writes before a reply may end one.
    assert ours.bos_id not in chat_stop_ids(ours) or ours.bos_id == ours.eos_id
    assert end in with_chat_format(ours).stop_ids


@settings(max_examples=15)
@given(data=st.data())
def test_answers_are_masked(case: Case, data: st.DataObject) -> None:
    family, ours, _ = case
    messages = data.draw(dialogues(system=family.system, least=2))
    if messages[-1].role == "user":
        messages = messages[:-1]
    # an empty answer has no beginning; files of dialogues can't hold one
    messages = [Message(m.role, m.content or "x") for m in messages]
    ids, is_answer = encode_dialogue(ours, messages)
    if family.behind_prompt:
        assert ids[: is_answer.index(True)] == encode_chat(ours, messages[:-1])
    else:
        assert ids == encode_chat(ours, messages, reply=False)
    starts = [index for index in range(1, len(ids)) if is_answer[index] and not is_answer[index - 1]]
    answers = [index for index, message in enumerate(messages) if message.role == "assistant"]
    answers = answers[-1:] if family.last_only else answers
    assert len(starts) == len(answers)
    for start, index in zip(starts, answers, strict=True):
        assert ids[:start] == encode_chat(ours, messages[:index])
        end = start + is_answer[start:].index(False) if False in is_answer[start:] else len(ids)
        assert ids[end - 1] == ours.vocabulary[family.end]
        answer = ours.decode_continuation(ids[start : end - 1])
        assert messages[index].content.strip() in answer
        assert len(answer) <= len(messages[index].content) + len(" <think>\n\n</think>\n\n \n")


@settings(max_examples=15)
@given(prefill=harmless.filter(str.strip))
@example(prefill="t0")
# The user's message has this text too.
@example(prefill=" hi\n")
def test_a_reply_can_begin_with_given_text(case: Case, prefill: str) -> None:
    _, ours, _ = case
    messages = [Message("user", "hi")]
    begun = [*encode_chat(ours, messages), *encode_reply_start(ours, messages, prefill)]
    text = ours.decode_continuation(begun)
    assert text.endswith(prefill)
    answer = Message("assistant", prefill.strip() + " and more")
    whole = ours.decode_continuation(encode_dialogue(ours, [*messages, answer])[0])
    assert whole.startswith(text.removesuffix(prefill) + prefill.strip())


@settings(max_examples=15)
@given(data=st.data())
def test_each_token_knows_whose_answer_it_is(case: Case, data: st.DataObject) -> None:
    family, ours, _ = case
    messages = data.draw(dialogues(system=family.system, least=2))
    if messages[-1].role == "user":
        messages = messages[:-1]
    messages = [Message(m.role, m.content.strip() or "x") for m in messages]
    tokens = dialogue_tokens(ours, messages)
    answers = [index for index, message in enumerate(messages) if message.role == "assistant"]
    assert tokens.answers == (answers[-1:] if family.last_only else answers)
    for index in tokens.answers:
        places = [place for place, of in enumerate(tokens.answer_of) if of == index]
        assert places == list(range(places[0], places[-1] + 1)), "an answer is one run of tokens"
        text = ours.decode_continuation(tokens.ids[places[0] : places[-1]])
        assert messages[index].content in text
        assert tokens.ids[places[-1]] == ours.vocabulary[family.end]


def test_an_answer_behind_its_prompt_is_what_a_model_writes(case: Case) -> None:
    """The header of a finished dialogue, or the lack of an end, must not be what is learnt."""
    family, ours, _ = case
    if not family.behind_prompt:
        return
    messages = [
        Message("user", "a"),
        Message("assistant", "b"),
        Message("user", "c"),
        Message("assistant", " d\n"),
    ]
    ids, is_answer = encode_dialogue(ours, messages)
    start = is_answer.index(True)
    assert ids[:start] == encode_chat(ours, messages[:-1])
    assert ours.decode_continuation(ids[start:]).strip() == "d"
    assert ids[-1] == ours.vocabulary[family.end] and all(is_answer[start:])


def test_a_template_may_refuse(case: Case) -> None:
    family, ours, _ = case
    if family.system:
        return
    with pytest.raises(UserError, match="messages: the tokenizer's chat template refuses them: "):
        encode_chat(ours, [Message("system", "s"), Message("user", "x")])


def test_unknown_roles_are_named(case: Case) -> None:
    _, ours, _ = case
    messages = [Message("user", "x"), Message("tool", "y"), Message("user", "z")]
    with pytest.raises(UserError, match=r"messages\[1\]\.role: .*'tool'.*not supported"):
        encode_chat(ours, messages)


def test_reasoning_is_trained_on_where_it_is_asked_for(case: Case) -> None:
    family, ours, _ = case
    if family is not FAMILIES["qwen3"]:
        return
    messages = [
        Message("user", "a"),
        Message("assistant", "<think>\nfirst\n</think>\n\none"),
        Message("user", "b"),
        Message("assistant", "<think>\nsecond\n</think>\n\ntwo"),
    ]
    ids, is_answer = encode_dialogue(ours, messages)
    assert "first" not in ours.decode_continuation(ids)
    learnt = ours.decode_continuation(compress(ids, is_answer))
    # The first answer would have its reasoning if it were the last.
    assert learnt == "<think>\nsecond\n</think>\n\ntwo"
