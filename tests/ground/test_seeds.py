"""Keyed draws: the values are pinned, for corpora, training streams and results were made with them."""

from __future__ import annotations

import random

from codecascade.corpus.documents import keyed_draw
from codecascade.evaluation.subsets import problem_seed
from codecascade.ground.seeds import draw, generator, uniform
from codecascade.training.stream.stream_sources import permuted


def test_draws_depend_on_their_keys_alone_and_never_change() -> None:
    assert uniform(0, 0, 0) == uniform(0, 0, 0) == 0.24704149699358346
    assert uniform(3, 1, 4) == 0.981152911033346
    assert (
        len({uniform(seed, sample, step) for seed in range(9) for sample in range(9) for step in range(9)})
        == 729
    )
    assert all(0 <= uniform(1, 2, step) < 1 for step in range(100))


def test_the_draws_of_each_package_never_change() -> None:
    assert keyed_draw("7", "repo", "a.py") == 17203900398607648775
    assert keyed_draw("\ud800") == 4758185216457903464
    assert draw(5, 2, size=4) & 0x7FFFFFFF == 1008567817
    assert problem_seed(1, "HumanEval/7") == 24114446393416
    assert [permuted(place, 11, key="0,1,corpus") for place in range(11)] == [
        2,
        7,
        4,
        5,
        0,
        8,
        3,
        1,
        6,
        10,
        9,
    ]
    assert draw(0, "code", size=4) == 3073789054


def test_a_number_has_as_many_bytes_as_asked_for() -> None:
    assert all(0 <= draw("x", number, size=1) < 256 for number in range(99))
    assert len({draw("x", number, size=1) for number in range(5000)}) == 256


def test_a_separator_keeps_free_texts_apart() -> None:
    assert draw("a,b", "c") == draw("a", "b,c")
    assert draw("a,b", "c", separator="\0") != draw("a", "b,c", separator="\0")


def test_generators_are_those_of_their_key_as_text() -> None:
    assert generator(3, 1, "id").random() == random.Random("3,1,id").random()
    assert generator(3, 1).random() != generator(3, 2).random()
