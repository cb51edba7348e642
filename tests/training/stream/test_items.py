"""Items: what one document, function or dialogue is in ids, and the endless sequence of a source's items."""

from __future__ import annotations

import random
from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from stream_fakes import CODE, ExampleTable, make_document, named, random_documents, tiny_tokenizer

from codecascade.ground.errors import UserError
from codecascade.tokens.files import tokenizer_json
from codecascade.tokens.tokenizer import Tokenizer
from codecascade.training.stream.examples import (
    TrainingExample,
    infilled_example,
    plain_example,
    split,
    training_example,
    window,
)
from codecascade.training.stream.settings import InfillingSettings, MixtureItem
from codecascade.training.stream.stream_sources import ExampleSequence, StreamSource, permuted

KINDS = ["llama", "bytes"]
CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="▁")  # Llama's ▁ is a space


def taken_apart(tokenizer: Tokenizer, item: TrainingExample, layout: str) -> tuple[str, str, str]:
    """``(prefix, middle, suffix)`` of a filled document, from its ids alone (SPM: no seam, so no middle)."""
    tokens, ids = tokenizer.infilling, item.ids.tolist()
    assert tokens is not None and tokens.middle is not None
    assert ids[: len(tokenizer.bos())] == tokenizer.bos()
    prefix, suffix, middle = (ids.index(token) for token in (tokens.prefix, tokens.suffix, tokens.middle))
    assert ids.index(tokens.end) == len(ids) - 1, "nothing comes after the end of infilling"
    assert tokenizer.end_of_document_id not in ids
    after = tokenizer.decode_continuation(ids[suffix + 1 : middle])
    if layout == "spm":
        assert suffix == prefix + 1
        return tokenizer.decode(ids[middle + 1 : -1]), "", after
    return (
        tokenizer.decode(ids[prefix + 1 : suffix]),
        tokenizer.decode_continuation(ids[middle + 1 : -1]),
        after,
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_plain_document_is_its_text_and_an_end(kind: str) -> None:
    tokenizer = tiny_tokenizer(kind)
    item = plain_example(tokenizer, tokenizer.encode("def f():\n    pass\n"))
    ids = item.ids.tolist()
    assert ids[-1] == tokenizer.end_of_document_id
    assert ids[:-1] == tokenizer.encode("def f():\n    pass\n", bos=True)
    assert (ids[0] == tokenizer.bos_id) == (kind == "llama")
    assert (item.weights == 1).all() and len(item.weights) == len(ids) and not item.indivisible


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("share", "layout"), [(0.0, "psm"), (1.0, "spm")])
@settings(max_examples=30, deadline=None)
@given(text=st.text(CHARACTERS, max_size=80), seed=st.integers())
def test_a_filled_document_holds_the_whole_text(
    kind: str, share: float, layout: str, text: str, seed: int
) -> None:
    tokenizer = tiny_tokenizer(kind)
    item = infilled_example(tokenizer, text, random.Random(seed), InfillingSettings(spm_share=share))
    assert "".join(taken_apart(tokenizer, item, layout)) == text
    assert item.indivisible and item.infilled


def test_half_of_the_splits_are_spm() -> None:
    tokenizer, text = tiny_tokenizer(), "0123456789" * 20
    assert tokenizer.infilling is not None
    starts = [infilled_example(tokenizer, text, random.Random(seed)).ids[:3].tolist() for seed in range(1000)]
    assert 0.45 < np.mean([tokenizer.infilling.suffix in start for start in starts]) < 0.55


def test_both_split_points_are_uniform() -> None:
    parts = [split("0123456789" * 2, random.Random(seed), InfillingSettings()) for seed in range(2000)]
    # the lengths of the three parts between two independent uniform points are alike
    assert np.mean([list(map(len, part)) for part in parts], axis=0) == pytest.approx([20 / 3] * 3, rel=0.08)
    assert {len(spot) for prefix, middle, _ in parts for spot in (prefix, prefix + middle)} == set(range(21))


@pytest.mark.parametrize(("share", "layout"), [(0.0, "psm"), (1.0, "spm")])
def test_weights_of_the_middle_and_the_rest(share: float, layout: str) -> None:
    tokenizer = tiny_tokenizer()
    wanted = InfillingSettings(spm_share=share, middle_weight=3, rest_weight=0.25)
    for seed in range(30):
        item = infilled_example(tokenizer, CODE[1][:300], random.Random(seed), wanted)
        heavy = item.weights == 3
        assert set(item.weights.tolist()) <= {3, 0.25}
        assert heavy[-1] and not heavy[0]
        first = int(heavy.argmax())
        assert heavy[first:].all() and not heavy[:first].any()
        rng = random.Random(seed)
        rng.random()
        prefix, middle, _ = split(CODE[1][:300], rng, wanted)
        trained = tokenizer.decode_continuation(item.ids[heavy].tolist())
        assert trained.endswith(middle)
        if layout == "psm":
            assert trained == middle
        else:  # a token may hold the prefix's last characters and the middle's first
            assert (prefix + middle).endswith(trained)
            assert len(trained) - len(middle) < max(map(len, tokenizer.pieces))


def test_whole_line_middles() -> None:
    text = "def f(x):\n\n    y = x\n\t\n    return y"
    lines = {"def f(x):\n", "    y = x\n", "    return y"}
    seen = set()
    for seed in range(100):
        prefix, middle, suffix = split(text, random.Random(seed), InfillingSettings(whole_line_share=1))
        assert prefix + middle + suffix == text
        assert not prefix or prefix.endswith("\n")
        seen.add(middle)
    assert seen == lines
    share = [
        split(text, random.Random(s), InfillingSettings(whole_line_share=0.3))[1] in lines
        for s in range(1000)
    ]
    assert 0.28 < np.mean(share) < 0.36  # some of the others are lines by chance


def test_whole_lines_of_a_text_without_any() -> None:
    for text in ("", "\n\n  \n"):
        assert "".join(split(text, random.Random(0), InfillingSettings(whole_line_share=1))) == text


def test_line_level_splits_between_lines() -> None:
    text = "a\nbb\n\nccc\nd"
    spots = {0, 2, 5, 6, 10, 11}
    seen = set()
    for seed in range(200):
        prefix, middle, suffix = split(text, random.Random(seed), InfillingSettings(level="line"))
        assert prefix + middle + suffix == text
        seen |= {len(prefix), len(prefix + middle)}
    assert seen == spots


def test_a_family_with_one_layout_gets_that_one() -> None:
    names = ("[PREFIX]", "[SUFFIX]")
    plain = tiny_tokenizer("bytes")
    first = plain.vocab_size
    dropped = {token["id"] for token in plain.spec["added_tokens"] if "▁" in token["content"]}
    codestral = plain.with_vocabulary(
        [tokenizer_json.added_token(name, first - len(dropped) + n) for n, name in enumerate(names)],
        drop=dropped,
    )
    assert codestral.infilling is not None and codestral.infilling.formats == ("spm",)
    item = infilled_example(codestral, "x = 1\n", random.Random(0), InfillingSettings(spm_share=0))
    assert item.ids[0] == codestral.infilling.suffix


def test_rate_and_fit() -> None:
    tokenizer, text = tiny_tokenizer(), CODE[2][:400]
    length = len(plain_example(tokenizer, tokenizer.encode(text)))

    def infilled(rate: float, context: int) -> float:
        draws = (
            training_example(
                tokenizer,
                lambda: text,
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


@given(st.lists(st.text("ab \n", max_size=12), max_size=12), st.floats(0, 0.99), st.integers(), st.booleans())
def test_a_window_is_whole_lines(lines: list[str], share: float, seed: int, ends: bool) -> None:
    text = "\n".join(lines) + "\n" * ends
    begin, end = window(text, share, random.Random(seed))
    assert 0 <= begin <= end <= len(text) and end - begin <= share * len(text)
    if begin < end:
        assert (begin == 0 or text[begin - 1] == "\n") and (end == len(text) or text[end - 1] == "\n")


def test_windows_come_from_everywhere() -> None:
    lines = [f"line {number:02}\n" for number in range(40)]
    rng = random.Random(0)
    text = "".join(lines)
    windows = (slice(*window(text, 0.25, rng)) for _ in range(2000))
    seen = Counter(line for each in windows for line in text[each].splitlines(True))
    # About 9 lines fit. The first and last ones are in fewer windows, but in enough.
    assert set(seen) == set(lines) and min(seen.values()) > 200 and max(seen.values()) < 800


@pytest.mark.parametrize("layout", ["psm", "spm"])
def test_of_a_document_that_is_too_long_a_window_is_filled(layout: str) -> None:
    tokenizer = tiny_tokenizer("bytes")
    text = "".join(f"value_{number} = {number * number}\n" for number in range(200))
    wanted = InfillingSettings(rate=1, spm_share=float(layout == "spm"), too_long="window")
    rooms = []
    for seed in range(50):
        example = training_example(
            tokenizer, lambda: text, random.Random(seed), wanted, context=128, document_id="a"
        )
        assert example.infilled and example.indivisible and len(example) <= 128
        rooms.append(len(example))
        prefix, middle, suffix = taken_apart(tokenizer, example, layout)
        assert prefix + middle + suffix in text and (prefix + middle + suffix).endswith("\n")
    assert np.mean(rooms) > 90, "most of a row is used"
    # What fits is whole, and a document of a single line that is too long stays as it is.
    short, line = "a = 1\n", "x" * 4000
    whole = training_example(tokenizer, lambda: short, random.Random(0), wanted, context=128, document_id="a")
    assert whole.infilled and "".join(taken_apart(tokenizer, whole, layout)) == short
    for text_of_it in (line, ""):
        plain = training_example(
            tokenizer, lambda text=text_of_it: text, random.Random(0), wanted, context=3, document_id="a"
        )
        assert not plain.infilled


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
