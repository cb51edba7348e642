"""Dialogues that are longer than a row: the same examples as if all were rendered, in bounded time and memory."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stream_fakes import Dialogue, ExampleTable, make_stream, tiny_tokenizer

from codecascade.ground.errors import UserError
from codecascade.tokens.chat import Message, dialogue_tokens, with_chat_format
from codecascade.tokens.templates import renderer
from codecascade.tokens.templates.renderer import RENDERER, RenderingTooLarge
from codecascade.tokens.tokenizer import Tokenizer
from codecascade.training.stream import dialogue_examples
from codecascade.training.stream.dialogue_examples import dialogue_example
from codecascade.training.stream.settings import ChatSettings
from codecascade.training.stream.stream_sources import StreamSource

OWN = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + eos_token + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
# as those of reasoning models, which leave the reasoning out of all answers but the last
REASONING = OWN.replace(
    "m.content +", "(m.content if loop.last or m.role == 'user' else m.content.split('|')[-1]) +"
)


def turns(*texts: str) -> list[Message]:
    return [Message(role, text) for role, text in zip(cycle(("user", "assistant")), texts, strict=False)]


def tokenizer_of(kind: str) -> Tokenizer:
    if kind == "step":
        return with_chat_format(tiny_tokenizer(), "step")
    own = {"own": OWN, "reasoning": REASONING}
    return tiny_tokenizer("bytes").with_chat_template(own[kind]) if kind in own else tiny_tokenizer(kind)


def as_if_all_were_encoded(
    tokenizer: Tokenizer, messages: Sequence[Message], context: int, epoch: int
) -> tuple[list[int], bool]:
    """The ids of the example, and whether less than all fits."""
    learnt = [index for index, message in enumerate(messages) if message.role == "assistant"]
    if not {*learnt} <= {*dialogue_tokens(tokenizer, messages).answers}:
        learnt = learnt[: len(learnt) - epoch % len(learnt)]
    for last in reversed(learnt):
        tokens = dialogue_tokens(tokenizer, messages[: last + 1])
        if last in tokens.answers and last not in tokens.answer_of[context:]:
            return tokens.ids[:context], last != learnt[-1]
    first = dialogue_tokens(tokenizer, messages[: learnt[0] + 1])
    return (first.ids[:context] if learnt[0] in first.answer_of[:context] else []), True


@settings(max_examples=60, deadline=None)
@given(
    texts=st.lists(st.text("ab |\n", min_size=1, max_size=9).filter(str.strip), min_size=2, max_size=24),
    longer=st.integers(0, 400),
    at=st.integers(0, 23),
    context=st.integers(8, 120),
    kind=st.sampled_from(["llama", "bytes", "step", "own", "reasoning"]),
    epoch=st.integers(0, 2),
    whole=st.integers(0, 24),
)
def test_the_same_example_as_if_all_were_encoded(
    texts: list[str], longer: int, at: int, context: int, kind: str, epoch: int, whole: int
) -> None:
    texts[at % len(texts)] += "c a" * longer
    messages, tokenizer = turns(*texts[: len(texts) // 2 * 2]), tokenizer_of(kind)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dialogue_examples, "_WHOLE_MESSAGES", whole)
        example = dialogue_example(tokenizer, messages, context=context, document_id="d", epoch=epoch)
    expected = as_if_all_were_encoded(tokenizer, messages, context, epoch)
    assert (example.ids.tolist(), example.truncated) == expected


@pytest.mark.parametrize("kind", ["own", "reasoning"])
@pytest.mark.parametrize(("count", "characters"), [(100, 8_000), (500, 20)])
def test_only_the_beginning_of_a_long_dialogue_is_rendered(
    kind: str, count: int, characters: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered = []
    compare = RENDERER.compare

    def counted(template: str, variables: Any, ways: Any) -> Any:
        rendered.append(len(variables["messages"]) * (1 + len(ways)))
        assert sum(len(each["content"]) for each in variables["messages"]) < 20_000
        return compare(template, variables, ways)

    monkeypatch.setattr(RENDERER, "compare", counted)
    tokenizer = tokenizer_of(kind)
    short, long = turns("a", "b"), turns(*["word " * (characters // 5)] * (2 * count))
    example = dialogue_example(tokenizer, [*short, *long], context=512, document_id="d")
    assert example.truncated and 0 < len(example) <= 512
    # with all parts of the dialogue it would be a million of messages and more
    assert sum(rendered) < 20_000


@pytest.mark.parametrize("too_long", ["cut", "drop"])
def test_what_a_template_leaves_out_makes_no_dialogue_too_long(too_long: Any) -> None:
    """What a model thought before its earlier answers is far longer than a row, and is not in it."""
    tokenizer = tokenizer_of("reasoning")
    thoughts = turns("a", f"{'hm ' * 30_000}|b", "c", "|d")
    short = turns("a", "b", "c", "|d")
    found, expected = (
        dialogue_example(
            tokenizer, each, context=99, document_id="d", settings=ChatSettings(too_long=too_long)
        )
        for each in (thoughts, short)
    )
    assert found.ids.tolist() == expected.ids.tolist() and not found.truncated
    assert sum(found.weights) > 0


def test_a_long_dialogue_does_not_end_the_training() -> None:
    talks = [Dialogue(f"t{number}", tuple(turns("a", "b"))) for number in range(4)]
    long = Dialogue("long", tuple(turns(*["word " * 1_600] * 40)))
    source = StreamSource("dialogues", 1, ExampleTable([*talks, long]), "dialogues")
    stream = make_stream(source, tokenizer=tokenizer_of("own"))
    assert sum(stream.batch(range(1)).counts.get("too_long", 0) for _ in range(4)) > 0


def test_what_the_template_takes_too_much_for_is_too_long_unless_it_is_short(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def too_large(*_: Any) -> Any:
        raise RenderingTooLarge("takes more memory", key="chat_template")

    monkeypatch.setattr(dialogue_examples, "dialogue_tokens", too_large)
    messages = turns("ask " * 20, "tell")
    example = dialogue_example(tiny_tokenizer(), messages, context=40, document_id="d")
    assert example.truncated and not len(example)
    with pytest.raises(UserError, match="takes more memory"):
        dialogue_example(tiny_tokenizer(), messages, context=400, document_id="d")


def test_white_space_is_not_taken_for_a_long_text() -> None:
    """A template may strip it, so that the answer fits, or must not be taken for its beginning."""
    stripping = tiny_tokenizer("bytes").with_chat_template(OWN.replace("m.content", "m.content | trim"))
    spaces = " " * 100_000
    padded = dialogue_example(stripping, turns(f"{spaces}a{spaces}", "b"), context=99, document_id="d")
    plain = dialogue_example(stripping, turns("a", "b"), context=99, document_id="d")
    assert padded.ids.tolist() == plain.ids.tolist() and not padded.truncated
    inside = dialogue_example(
        stripping,
        turns("a", f"b{spaces}c"),
        context=99,
        document_id="d",
        settings=ChatSettings(too_long="drop"),
    )
    assert inside.truncated and not len(inside)


@settings(max_examples=30, deadline=None)
@given(
    texts=st.lists(st.text("ab|", max_size=5), min_size=1, max_size=8),
    ways=st.lists(st.tuples(st.integers(0, 8), st.booleans()), max_size=9),
    per_request=st.sampled_from([1, 300, 1 << 20]),
)
def test_parts_are_compared_as_if_they_were_rendered(
    texts: list[str], ways: list[tuple[int, bool]], per_request: int
) -> None:
    messages = [{"role": each.role, "content": each.content} for each in turns(*texts)]
    ways = [(min(count, len(messages)), reply) for count, reply in ways]
    base = {"messages": messages, "eos_token": "</s>", "add_generation_prompt": False}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(renderer, "_REQUEST", per_request)
        patch.setattr(renderer, "_REQUEST_TIMES", 0)
        whole, compared = RENDERER.compare(REASONING, base, ways)
    parts = [{**base, "messages": messages[:count], "add_generation_prompt": reply} for count, reply in ways]
    alone, *others = RENDERER.render(REASONING, [base, *parts])
    assert whole == alone and len(compared) == len(others)
    for part, other in zip(compared, others, strict=True):
        assert part.length == len(other.text) and part.error == other.error
        assert whole.text[: part.common] == other.text[: part.common]
        assert whole.text[: part.common + 1] != other.text[: part.common + 1] or part.common == len(
            whole.text
        )
