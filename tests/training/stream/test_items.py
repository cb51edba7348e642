"""Items: what one document, function or dialogue is in ids, and the endless sequence of a source's items."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from stream_fakes import CODE, ExampleTable, make_document, named, random_documents, tiny_tokenizer

from codecascade.ground.errors import UserError
from codecascade.training.stream.examples import plain_example, training_example
from codecascade.training.stream.settings import InfillingSettings, MixtureItem
from codecascade.training.stream.stream_sources import ExampleSequence, StreamSource, permuted

KINDS = ["llama", "bytes"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_plain_document_is_its_text_and_an_end(kind: str) -> None:
    tokenizer = tiny_tokenizer(kind)
    item = plain_example(tokenizer, tokenizer.encode("def f():\n    pass\n"))
    ids = item.ids.tolist()
    assert ids[-1] == tokenizer.end_of_document_id
    assert ids[:-1] == tokenizer.encode("def f():\n    pass\n", bos=True)
    assert (ids[0] == tokenizer.bos_id) == (kind == "llama")
    assert (item.weights == 1).all() and len(item.weights) == len(ids) and not item.indivisible


def test_rate_and_fit() -> None:
    tokenizer, text = tiny_tokenizer(), CODE[2][:400]
    length = len(plain_example(tokenizer, tokenizer.encode(text)))

    def infilled(rate: float, context: int) -> float:
        draws = (
            training_example(
                tokenizer,
                lambda: make_document(text),
                random.Random(seed),
                InfillingSettings(rate=rate),
                context=context,
                document_id="",
            )
            for seed in range(300)
        )
        return float(np.mean([item.infilled for item in draws]))

    assert infilled(0.9, 10 * length) == pytest.approx(0.9, abs=0.05)
    assert infilled(0.0, 10 * length) == 0
    assert infilled(1.0, 10 * length) == 1
    assert infilled(1.0, length - 1) == 0
    assert 0 < infilled(1.0, length + 4) < 1, "fits or not by how many tokens the split cut"


# ---------------------------------------------------------------- sequences


@given(st.integers(1, 300), st.text(max_size=5))
@settings(max_examples=60, deadline=None)
def test_permutations(size: int, key: str) -> None:
    assert sorted(permuted(place, size, key=key) for place in range(size)) == list(range(size))


def test_permutations_differ_and_scatter() -> None:
    orders = [[permuted(place, 500, key=str(key)) for place in range(500)] for key in range(20)]
    assert len({tuple(order) for order in orders}) == 20
    steps = [abs(a - b) for order in orders for a, b in pairwise(order)]
    assert np.mean(steps) == pytest.approx(500 / 3, rel=0.05)  # as of two independent uniform numbers


def sequence(table: ExampleTable, **changes: Any) -> ExampleSequence:
    source = {k: changes.pop(k) for k in ("granularity", "min_characters", "max_characters") if k in changes}
    arguments = {"context": 4096, "seed": 0, "infilling": InfillingSettings(), **changes}
    return ExampleSequence(StreamSource("s", 1, table, **source), tiny_tokenizer(), **arguments)


def test_each_epoch_holds_each_document_once_in_another_order_and_split() -> None:
    items = [sequence(random_documents([30] * 17)).example(number) for number in range(34)]
    names = [item.id for item in items if item]
    assert sorted(names[:17]) == sorted(names[17:]) and names[:17] != names[17:] and len(set(names)) == 17
    ids = {item.id: item.ids.tolist() for item in items[:17] if item}
    again = [item.ids.tolist() == ids[item.id] for item in items[17:] if item]
    assert sum(again) < 6


def test_draws_depend_on_seed_epoch_and_document_alone() -> None:
    few, many = random_documents([40] * 5), random_documents([40] * 9)
    assert few == many[:5]

    def by_name(table: ExampleTable, **changes: Any) -> dict[str, list[int]]:
        drawn = (sequence(table, **changes).example(number) for number in range(len(table)))
        return {item.id: item.ids.tolist() for item in drawn if item}

    assert by_name(few).items() <= by_name(many).items()
    assert by_name(few) != by_name(few, seed=1)


def test_lengths_in_characters() -> None:
    table = random_documents([5, 10, 15, 20])
    items = sequence(table, min_characters=10, max_characters=15)
    drawn = [items.example(number) for number in range(8)]
    assert {item.id for item in drawn if item} == {"d1", "d2"} and drawn.count(None) == 4


MODULE = '''
class A:
    @property
    def small(self):
        return 1

    async def other(self, x):
        await x
        return 22


def top(a, b):
    """Long enough to be left out by a limit of seventy characters."""
    return a + b


def last():
    pass
'''


def test_functions_come_one_a_visit_and_none_twice_before_all() -> None:
    table = ExampleTable([make_document(MODULE, "m"), make_document("no python def at all", "n")])
    items = sequence(
        table, granularity="function", min_characters=20, max_characters=70, infilling=None, context=1000
    )
    drawn = [items.example(number) for number in range(12)]  # six epochs of two documents
    names = [item.id for item in drawn if item]
    assert len(names) == 6 and drawn.count(None) == 6
    assert set(names[:3]) == {"m/A.small", "m/A.other", "m/last"} and names[:3] == names[3:]
    tokenizer = tiny_tokenizer()
    texts = {item.id: tokenizer.decode(item.ids.tolist()) for item in drawn if item}
    assert texts["m/A.small"] == "@property\ndef small(self):\n    return 1\n"
    assert texts["m/last"] == "def last():\n    pass\n"


# ---------------------------------------------------------------- bad input


def test_settings_are_checked() -> None:
    for wrong in ({"rate": 1.1}, {"spm_share": -0.1}, {"middle_weight": 0}, {"level": "word"}, {"rat": 1}):
        with pytest.raises(ValidationError):
            InfillingSettings(**wrong)  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match="less than min_characters"):
        MixtureItem(source="code", share=1, min_characters=10, max_characters=5)
    with pytest.raises(ValidationError):
        MixtureItem(source="code", share=0)


def test_sources_are_checked() -> None:
    with pytest.raises(UserError, match="'empty' is empty"):
        StreamSource("empty", 1, ExampleTable())
    with pytest.raises(UserError, match="holds dialogues"):
        StreamSource.of(
            MixtureItem(source="dialogues", share=1, granularity="function"), random_documents([1])
        )
    made = StreamSource.of(
        MixtureItem(source="python", share=2, granularity="function", max_characters=9), random_documents([1])
    )
    assert (made.name, made.share, made.kind, made.granularity) == ("python", 2, "documents", "function")
    assert named(made) == [made]
