"""Dialogues as training examples: only answers are learnt, too long ones are cut between turns or counted."""

from __future__ import annotations

from itertools import cycle
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from stream_fakes import Dialogue, ExampleTable, make_rows, make_stream, tiny_tokenizer

from codecascade.ground.errors import UserError
from codecascade.tokens.chat import Message, encode_chat, encode_dialogue, with_chat_format
from codecascade.tokens.tokenizer import Tokenizer
from codecascade.training.stream.dialogue_examples import dialogue_example
from codecascade.training.stream.examples import TrainingExample
from codecascade.training.stream.settings import ChatSettings
from codecascade.training.stream.stream_sources import ExampleSequence, StreamSource

SYSTEM, WHAT, THIS, WHY, SO = (
    Message("system", "be brief"),
    Message("user", "what?"),
    Message("assistant", "this"),
    Message("user", "why?"),
    Message("assistant", "so"),
)
TALK = [SYSTEM, WHAT, THIS, WHY, SO]
LAST = ChatSettings(loss="last")


def made(messages: list[Message], *, tokenizer: Tokenizer | None = None, **changes: Any) -> TrainingExample:
    arguments = {"context": 1000, "document_id": "d", **changes}
    return dialogue_example(tokenizer or tiny_tokenizer("bytes"), messages, **arguments)


def learnt(example: TrainingExample, tokenizer: Tokenizer | None = None) -> list[str]:
    """The texts of the runs of tokens that have a loss, without what ends them."""
    tokenizer = tokenizer or tiny_tokenizer("bytes")
    runs: list[list[int]] = []
    for before, token_id, weight in zip(
        [0.0, *example.weights.tolist()], example.ids.tolist(), example.weights.tolist(), strict=False
    ):
        if weight:
            runs = runs if before else [*runs, []]
            runs[-1].append(token_id)
    assert all(run[-1] in tokenizer.stop_ids for run in runs), "an answer's end is learnt too"
    return [tokenizer.decode_continuation(run[:-1]) for run in runs]


def test_only_answers_are_learnt() -> None:
    example = made(TALK)
    ids, is_answer = encode_dialogue(tiny_tokenizer("bytes"), TALK)
    assert example.ids.tolist() == ids and example.weights.tolist() == list(map(float, is_answer))
    assert learnt(example) == ["this", "so"]
    assert example.indivisible and not example.truncated


def test_the_last_answer_alone_and_answers_that_are_context() -> None:
    assert learnt(made(TALK, settings=LAST)) == ["so"]
    assert made(TALK, settings=LAST).ids.tolist() == made(TALK).ids.tolist()
    assert learnt(made(TALK, without_loss=frozenset({2}))) == ["so"]
    # what comes after the last answer that is learnt teaches nothing
    first = made(TALK, without_loss=frozenset({4}))
    assert learnt(first) == ["this"] and first.ids.tolist() == made(TALK[:3]).ids.tolist()
    assert learnt(made(TALK, without_loss=frozenset({4}), settings=LAST)) == ["this"]


def test_a_system_message_for_dialogues_that_have_none() -> None:
    with_system = ChatSettings(system="be brief")
    assert made(TALK[1:], settings=with_system).ids.tolist() == made(TALK).ids.tolist()
    assert made(TALK, settings=ChatSettings(system="other")).ids.tolist() == made(TALK).ids.tolist()
    shifted = made(TALK[1:], settings=with_system, without_loss=frozenset({1}))
    assert learnt(shifted) == ["so"]


@pytest.mark.parametrize("kind", ["llama", "bytes"])
def test_a_long_dialogue_is_cut_between_turns(kind: str) -> None:
    tokenizer = tiny_tokenizer(kind)
    whole, first = made(TALK, tokenizer=tokenizer), made(TALK[:3], tokenizer=tokenizer)
    answered = int(np.flatnonzero(whole.weights)[-1]) + 1
    for context in range(len(first), answered):
        cut = made(TALK, tokenizer=tokenizer, context=context)
        assert (
            cut.truncated
            and cut.ids.tolist() == first.ids.tolist()
            and learnt(cut, tokenizer) == learnt(first, tokenizer)
        )
    assert not made(TALK, tokenizer=tokenizer, context=len(whole)).truncated
    # where the first answer does not fit either, it loses its end
    begun = made(TALK, tokenizer=tokenizer, context=len(first) - 1)
    assert begun.truncated and begun.ids.tolist() == first.ids.tolist()[: len(first) - 1]
    nothing = made(TALK, tokenizer=tokenizer, context=int(first.weights.argmax()))
    assert len(nothing) == 0 and nothing.truncated
    for settings_ in (LAST, ChatSettings(too_long="drop")):
        assert len(made(TALK, tokenizer=tokenizer, context=answered - 1, settings=settings_)) == 0
        assert len(made(TALK, tokenizer=tokenizer, context=len(whole), settings=settings_)) == len(whole)


def test_where_only_the_last_answer_can_be_learnt_each_epoch_takes_another() -> None:
    tokenizer = with_chat_format(tiny_tokenizer(), "step")
    messages = [*TALK, Message("user", "and?"), Message("assistant", "yes")]
    drawn = [made(messages, tokenizer=tokenizer, epoch=epoch) for epoch in range(6)]
    assert [learnt(example, tokenizer) for example in drawn] == [["yes"], ["so"], ["this"]] * 2
    for example, count in zip(drawn, (7, 5, 3), strict=False):
        start = int(example.weights.argmax())
        assert example.ids[:start].tolist() == encode_chat(tokenizer, messages[: count - 1])
    assert learnt(made(messages, tokenizer=tokenizer, epoch=1, settings=LAST), tokenizer) == ["yes"]
    context_only = made(messages, tokenizer=tokenizer, epoch=1, without_loss=frozenset({4}))
    assert learnt(context_only, tokenizer) == ["this"]
    # a format that can have all of them has all in each epoch
    assert learnt(made(messages, epoch=1)) == ["this", "so", "yes"]
    cut = made(messages, tokenizer=tokenizer, context=len(drawn[0]) - 1)
    assert learnt(cut, tokenizer) == ["so"] and cut.truncated


contents = st.text(min_size=1, max_size=12).filter(str.strip)


@settings(max_examples=80, deadline=None)
@given(
    texts=st.lists(contents, min_size=2, max_size=7).map(lambda texts: texts[: len(texts) // 2 * 2]),
    system=st.one_of(st.none(), contents),
    context=st.integers(4, 200),
    loss=st.sampled_from(["all", "last"]),
    too_long=st.sampled_from(["cut", "drop"]),
    kind=st.sampled_from(["llama", "bytes"]),
    epoch=st.integers(0, 3),
)
def test_properties_of_any_dialogue(
    texts: list[str], system: str | None, context: int, loss: Any, too_long: Any, kind: str, epoch: int
) -> None:
    tokenizer = tiny_tokenizer(kind)
    told = [Message(role, text) for role, text in zip(cycle(("user", "assistant")), texts, strict=False)]
    messages = told if system is None else [Message("system", system), *told]
    chosen = ChatSettings(loss=loss, too_long=too_long)
    example = made(messages, tokenizer=tokenizer, context=context, settings=chosen, epoch=epoch)
    _, is_answer = encode_dialogue(tokenizer, messages)
    answered = len(is_answer) - is_answer[::-1].index(True)
    assert len(example) <= context and example.truncated == (answered > context)
    if not len(example):
        return
    # it is a whole dialogue, up to some answer
    counts = [count for count in range(2, len(messages) + 1) if messages[count - 1].role == "assistant"]
    first = encode_dialogue(tokenizer, messages[: counts[0]])[0]
    if len(first) > context:
        assert example.ids.tolist() == first[:context] and example.weights[-1] == 1
        return
    ids = example.ids.tolist()
    kept = next(c for c in counts if encode_dialogue(tokenizer, messages[:c])[0][: len(ids)] == ids)
    answers = [m.content.strip() for m in messages[:kept] if m.role == "assistant"]
    expected = answers[-1:] if loss == "last" else answers
    assert [text.strip() for text in learnt(example, tokenizer)] == expected
    assert set(np.unique(example.weights)) <= {0, 1}


# ---------------------------------------------------------------- in the stream


def talk(name: str, *texts: str) -> Dialogue:
    messages = [Message(role, text) for role, text in zip(cycle(("user", "assistant")), texts, strict=False)]
    return Dialogue(name, tuple(messages))


def test_dialogues_that_do_not_fit_are_counted() -> None:
    table = ExampleTable(
        [talk("long", "a" * 300, "b"), talk("cut", "a", "b", "c" * 300, "d"), talk("fits", "a", "b")]
    )
    rows = make_rows(StreamSource("dialogues", 1, table, "dialogues"), context=65)
    _, counts = rows.next_row()
    assert counts["too_long"] >= 1 and counts["too_long"] == counts["passed_over"]
    assert counts["truncated"] >= 1
    only_long = StreamSource("dialogues", 1, ExampleTable([talk("long", "a" * 300, "b")]), "dialogues")
    with pytest.raises(UserError, match="no answer of a dialogue begins within the sequence length"):
        make_rows(only_long, context=65).next_row()


def test_packed_dialogues_do_not_see_each_other_with_document_masks() -> None:
    table = ExampleTable([talk(f"t{number}", "ask", "tell") for number in range(8)])
    source = StreamSource("dialogues", 1, table, "dialogues")
    batch = make_stream(source, document_masks=True, infilling=None).batch(range(1))
    ids = batch.document_ids[0]
    assert len(ids.unique()) > 2
    boundary = (ids[1:] != ids[:-1]).nonzero().flatten()
    # the label at the last position of a dialogue is the first token of the next one
    assert torch.all(batch.weights[0][boundary] == 0)
    assert batch.weights.sum() > 0


def test_settings_of_dialogues_are_part_of_the_streams_identity() -> None:
    source = StreamSource("dialogues", 1, ExampleTable([talk("t", "a", "b")]), "dialogues")
    plain, other = make_stream(source), make_stream(source, chat=LAST)
    assert plain.fingerprint() != other.fingerprint()
    assert other.identity["chat"] == {"loss": "last", "too_long": "cut", "system": None}


def test_a_sequence_hands_on_what_the_file_says_of_an_answer() -> None:
    table = ExampleTable([Dialogue("t", tuple(TALK), frozenset({2}))])
    source = StreamSource("dialogues", 1, table, "dialogues")
    sequence = ExampleSequence(source, tiny_tokenizer("bytes"), context=1000, seed=0, infilling=None)
    example = sequence.example(0)
    assert example is not None and learnt(example) == ["so"]


def test_what_a_format_writes_behind_an_answer_costs_no_answer() -> None:
    template = (
        "{% for m in messages %}{{ m.role[0] + m.content + eos_token + '!!' }}{% endfor %}"
        "{% if add_generation_prompt %}a{% endif %}"
    )
    tokenizer = tiny_tokenizer("bytes").with_chat_template(template)
    whole = len(made(TALK, tokenizer=tokenizer).ids)
    for settings_of_chat in (ChatSettings(), LAST, ChatSettings(too_long="drop")):
        for less in range(3):
            example = made(TALK, tokenizer=tokenizer, context=whole - less, settings=settings_of_chat)
            assert learnt(example, tokenizer)[-1] == "so" and len(example.ids) == whole - less
            assert not example.truncated
    # the first answer too, if it is the last that fits
    first = len(made(TALK[:3], tokenizer=tokenizer).ids)
    example = made(TALK, tokenizer=tokenizer, context=first - 2)
    assert learnt(example, tokenizer) == ["this"] and example.truncated


def test_a_dialogue_that_is_refused_in_training_is_named_by_its_place() -> None:
    table = ExampleTable([Dialogue("t", tuple(TALK), location="a.jsonl:7")])
    source = StreamSource("dialogues", 1, table, "dialogues")
    tokenizer = tiny_tokenizer("bytes").with_chat_template("{{ raise_exception('not this one') }}")
    sequence = ExampleSequence(source, tokenizer, context=1000, seed=0, infilling=None)
    with pytest.raises(UserError, match=r"a\.jsonl:7: messages: .*not this one"):
        sequence.example(0)
