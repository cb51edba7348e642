"""Documents that are infilled: where they are split, how they are laid out, and what is taken of long ones."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from stream_fakes import CODE, make_document, tiny_tokenizer

from codecascade.generation.requests import SamplingParams, infilling_request
from codecascade.tokens.files import tokenizer_json
from codecascade.tokens.tokenizer import Tokenizer
from codecascade.training.stream.examples import (
    TrainingExample,
    split,
    training_example,
    window,
)
from codecascade.training.stream.settings import InfillingSettings

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


def filled(
    tokenizer: Tokenizer, text: str, seed: int, wanted: InfillingSettings, **changes: Any
) -> TrainingExample:
    """A document that is infilled whatever comes."""
    return training_example(
        tokenizer,
        lambda: make_document(text),
        random.Random(seed),
        wanted.model_copy(update={"rate": 1}),
        **{"context": 10**6, "document_id": "", **changes},
    )


def split_of(text: str, seed: int, wanted: InfillingSettings) -> tuple[str, str, str]:
    rng = random.Random(seed)
    return split(text, rng, wanted, rng.random())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("share", "layout"), [(0.0, "psm"), (1.0, "spm")])
@settings(max_examples=30, deadline=None)
@given(text=st.text(CHARACTERS, max_size=80), seed=st.integers())
def test_a_filled_document_holds_the_whole_text(
    kind: str, share: float, layout: str, text: str, seed: int
) -> None:
    tokenizer = tiny_tokenizer(kind)
    item = filled(tokenizer, text, seed, InfillingSettings(spm_share=share))
    assert "".join(taken_apart(tokenizer, item, layout)) == text
    assert item.indivisible and item.infilled


def test_half_of_the_splits_are_spm() -> None:
    tokenizer, text = tiny_tokenizer(), "0123456789" * 20
    assert tokenizer.infilling is not None
    starts = [filled(tokenizer, text, seed, InfillingSettings()).ids[:3].tolist() for seed in range(1000)]
    assert 0.45 < np.mean([tokenizer.infilling.suffix in start for start in starts]) < 0.55


def test_both_split_points_are_uniform() -> None:
    parts = [split_of("0123456789" * 2, seed, InfillingSettings()) for seed in range(2000)]
    # the lengths of the three parts between two independent uniform points are alike
    assert np.mean([list(map(len, part)) for part in parts], axis=0) == pytest.approx([20 / 3] * 3, rel=0.08)
    assert {len(spot) for prefix, middle, _ in parts for spot in (prefix, prefix + middle)} == set(range(21))


@pytest.mark.parametrize(("share", "layout"), [(0.0, "psm"), (1.0, "spm")])
def test_weights_of_the_middle_and_the_rest(share: float, layout: str) -> None:
    tokenizer = tiny_tokenizer()
    wanted = InfillingSettings(spm_share=share, middle_weight=3, rest_weight=0.25)
    for seed in range(30):
        item = filled(tokenizer, CODE[1][:300], seed, wanted)
        heavy = item.weights == 3
        assert set(item.weights.tolist()) <= {3, 0.25}
        assert heavy[-1] and not heavy[0]
        first = int(heavy.argmax())
        assert heavy[first:].all() and not heavy[:first].any()
        rng = random.Random(seed)
        _rate, _layout, draw = rng.random(), rng.random(), rng.random()
        prefix, middle, _ = split(CODE[1][:300], rng, wanted, draw)
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
        prefix, middle, suffix = split_of(text, seed, InfillingSettings(whole_line_share=1))
        assert prefix + middle + suffix == text
        assert not prefix or prefix.endswith("\n")
        seen.add(middle)
    assert seen == lines
    share = [split_of(text, s, InfillingSettings(whole_line_share=0.3))[1] in lines for s in range(1000)]
    assert 0.28 < np.mean(share) < 0.36  # some of the others are lines by chance


def test_whole_lines_of_a_text_without_any() -> None:
    for text in ("", "\n\n  \n"):
        assert "".join(split_of(text, 0, InfillingSettings(whole_line_share=1))) == text


def test_line_level_splits_between_lines() -> None:
    text = "a\nbb\n\nccc\nd"
    spots = {0, 2, 5, 6, 10, 11}
    seen = set()
    for seed in range(200):
        prefix, middle, suffix = split_of(text, seed, InfillingSettings(level="line"))
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
    item = filled(codestral, "x = 1\n", 0, InfillingSettings(spm_share=0))
    assert item.ids[0] == codestral.infilling.suffix


FILE = '''"""Counts."""

import os


class Counter:
    """Of words."""

    def add(self, word: str) -> int:
        """One more."""
        if word not in self.counts:
            self.counts[word] = 0
            self.order.append(word)
        self.counts[word] += 1
        return self.counts[word]


def main() -> None:
    counter = Counter()
    print(counter.add(os.sep))
'''


def test_editors_gaps_are_middles() -> None:
    """They begin behind the indentation or a cursor, and end with the line break."""
    tokenizer = tiny_tokenizer("letters")
    wanted = InfillingSettings(spm_share=0, editor_share=1)
    middles, kinds = Counter[str](), Counter[str]()
    for seed in range(300):
        prefix, middle, suffix = taken_apart(tokenizer, filled(tokenizer, FILE, seed, wanted), "psm")
        assert prefix + middle + suffix == FILE
        assert middle == middle.rstrip() + "\n"
        middles[middle] += 1
        behind = prefix.rpartition("\n")[2]
        kinds["lines" if "\n" in middle[:-1] else "line" if not behind.strip() else "rest"] += 1
    assert middles["return self.counts[word]\n"] and middles["import os\n"]
    assert "counter = Counter()\n    print(counter.add(os.sep))\n" in middles, "the body of a function"
    assert min(kinds.values()) > 50 and kinds.keys() == {"lines", "line", "rest"}


@pytest.mark.parametrize("context", [80, 10**6])
def test_a_file_without_lines_of_code_is_split_as_the_others_are(context: int) -> None:
    """The share of editors' gaps does not become one of whole lines."""
    tokenizer, text = tiny_tokenizer("letters"), "# only a comment, of a line\n" * 2
    wanted = InfillingSettings(spm_share=0, whole_line_share=0.25, editor_share=0.75, too_long="window")
    middles = [
        taken_apart(tokenizer, filled(tokenizer, text, seed, wanted, context=context), "psm")[1]
        for seed in range(400)
    ]
    # In a window the share of whole lines is that of the draws which are in no editor's share.
    assert np.mean([middle in text.splitlines(True) for middle in middles]) == pytest.approx(0.25, abs=0.07)


def test_shares_of_middles() -> None:
    tokenizer, text = tiny_tokenizer("letters"), "if a:\n    first = 1 + 1\n    second = 22 + 22\n"
    lines = {"    first = 1 + 1\n", "    second = 22 + 22\n"}
    bare = {line.lstrip() for line in lines}
    wanted = InfillingSettings(spm_share=0, whole_line_share=0.5, editor_share=0.3)
    middles = [taken_apart(tokenizer, filled(tokenizer, text, s, wanted), "psm")[1] for s in range(600)]
    assert np.mean([middle in lines for middle in middles]) == pytest.approx(0.5 * 2 / 3, abs=0.06)
    # Two of five of an editor's gaps in statements are a whole line, without its indentation.
    assert np.mean([middle in bare for middle in middles]) == pytest.approx(0.3 * 2 / 5 * 2 / 3, abs=0.04)
    # In a window of a text that is too long, the shares are the same.
    long = "if a:\n" + "".join(f"    value_{number} = {number} + 1\n" for number in range(60))
    cut = wanted.model_copy(update={"too_long": "window"})
    middles = [
        taken_apart(tokenizer, filled(tokenizer, long, s, cut, context=250), "psm")[1] for s in range(400)
    ]
    assert np.mean([middle in long.splitlines(True) for middle in middles]) == pytest.approx(0.5, abs=0.08)
    with pytest.raises(ValidationError, match="more than 1 together"):
        InfillingSettings(whole_line_share=0.7, editor_share=0.4)


@pytest.mark.parametrize("kind", KINDS)
def test_editors_gaps_are_laid_out_as_they_are_asked(kind: str) -> None:
    """In PSM the middle begins with what healing took off the prefix, which is no part of its loss."""
    letters, tokenizer = tiny_tokenizer("letters"), tiny_tokenizer(kind)
    wanted = InfillingSettings(spm_share=0, editor_share=1, rest_weight=0.5)
    healed = 0
    for seed in range(100):
        prefix, middle, suffix = taken_apart(letters, filled(letters, FILE, seed, wanted), "psm")
        item = filled(tokenizer, FILE, seed, wanted)
        request = infilling_request(tokenizer, prefix, suffix, SamplingParams())
        prompt, written = item.ids[: len(request.ids)].tolist(), item.ids[len(request.ids) : -1].tolist()
        assert tuple(prompt) == request.ids
        assert tokenizer.decode_continuation(written) == request.required.decode() + middle
        light = item.weights[: len(request.ids)].tolist()
        assert set(light) == {0.5} and item.weights[-1] == 1
        before = sum(item.weights[len(request.ids) :] == 0.5)
        lengths = np.cumsum([len(tokenizer.token_bytes(token)) for token in written])
        assert before == np.searchsorted(lengths, len(request.required), side="right")
        healed += bool(request.required)
    assert healed > 50


def test_the_end_of_a_middle_has_a_weight_of_its_own() -> None:
    wanted = InfillingSettings(spm_share=0, middle_weight=2, rest_weight=0.5, end_weight=7)
    for seed in range(20):
        weights = filled(tiny_tokenizer(), CODE[1][:300], seed, wanted).weights
        assert weights[-1] == 7 and set(weights[:-1].tolist()) <= {0.5, 2}


@pytest.mark.parametrize("layout", ["psm", "spm"])
def test_around_an_editors_gap_stand_the_lines_that_fit(layout: str) -> None:
    """The gap is one of the whole file, which parses; three quarters of the room are for what is before it."""
    tokenizer = tiny_tokenizer("letters")
    text = "".join(f"def f{n}(x):\n    y = x + {n}\n    return y\n\n\n" for n in range(40))
    wanted = InfillingSettings(spm_share=float(layout == "spm"), editor_share=1, too_long="window")
    seen, before, used = set(), [], []
    for seed in range(100):
        example = filled(tokenizer, text, seed, wanted, context=640)
        assert example.infilled and len(example) <= 640
        used.append(len(example))
        prefix, middle, suffix = taken_apart(tokenizer, example, layout)
        shown = prefix + middle + suffix
        assert (shown in text and text[text.index(shown) - 1] == "\n") or text.startswith(shown)
        if layout == "psm":
            seen.add(middle.count("\n"))
            before.append(len(prefix) / len(prefix + suffix))
    assert np.mean(used) > 540, "most of a row is used"
    if layout == "psm":
        assert {1, 2} <= seen, "blocks and bodies come, though a window of lines seldom parses"
        assert 0.6 < float(np.median(before)) < 0.8
    too_small = filled(tokenizer, text, 0, wanted, context=12)
    assert not too_small.infilled


@pytest.mark.parametrize("context", [640, 10**6])
@pytest.mark.parametrize("share", [0.0, 1.0])
def test_other_files_are_chosen_by_all_that_is_before_the_gap_and_nothing_else(
    context: int, share: float
) -> None:
    tokenizer, seen = tiny_tokenizer("letters"), []
    text = "".join(f"def f{n}(x):\n    y = x + {n}\n    return y\n\n\n" for n in range(40))
    wanted = InfillingSettings(spm_share=0, editor_share=share, too_long="window", neighbour_share=0.2)

    def others(before: str, room: int) -> list[int]:
        seen.append(before)
        return []

    for seed in range(30):
        item = filled(tokenizer, text, seed, wanted, context=context, others=others)
        prefix, middle, suffix = taken_apart(tokenizer, item, "psm")
        # ``y = x + 1`` and the like tell where in the text the middle is.
        assert text.startswith(seen[-1] + middle + suffix) and seen[-1].endswith(prefix)
    assert len(seen) == 30


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
        example = filled(tokenizer, text, seed, wanted, context=128)
        assert example.infilled and example.indivisible and len(example) <= 128
        rooms.append(len(example))
        prefix, middle, suffix = taken_apart(tokenizer, example, layout)
        assert prefix + middle + suffix in text and (prefix + middle + suffix).endswith("\n")
    assert np.mean(rooms) > 90, "most of a row is used"
    # What fits is whole, and a document of a single line that is too long stays as it is.
    short, line = "a = 1\n", "x" * 4000
    whole = training_example(
        tokenizer, lambda: make_document(short), random.Random(0), wanted, context=128, document_id="a"
    )
    assert whole.infilled and "".join(taken_apart(tokenizer, whole, layout)) == short
    for text_of_it in (line, ""):
        plain = filled(tokenizer, text_of_it, 0, wanted, context=3)
        assert not plain.infilled
