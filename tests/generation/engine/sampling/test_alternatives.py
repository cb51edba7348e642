"""Samples of a greedy request that are to differ: an editor offers them to its user."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from engine_models import CODE, NEVER, by_request

from codecascade.generation.engine.engine import Engine
from codecascade.generation.engine.generator import LocalGenerator
from codecascade.generation.engine.sampling.sampler import SamplingRow, choose
from codecascade.generation.requests import Request, SamplingParams, completion_request
from codecascade.model.llama import Llama
from codecascade.tokens.tokenizer import Tokenizer

GREEDY = SamplingParams(12)


def logits(*probabilities: float) -> torch.Tensor:
    return torch.tensor([[math.log(probability) for probability in probabilities]])


@pytest.mark.parametrize(
    ("probabilities", "others", "token", "passed"),
    [
        # 0.1 is a fifth of 0.5, and 0.09 is less
        ((0.5, 0.11, 0.09, 0.3), 0, 0, 0),
        ((0.5, 0.11, 0.09, 0.3), 1, 3, 1),
        ((0.5, 0.11, 0.09, 0.3), 2, 1, 2),
        ((0.5, 0.11, 0.09, 0.3), 3, 0, 2),
        ((0.97, 0.01, 0.01, 0.01), 1, 0, 0),
        ((0.1, 0.3, 0.35, 0.25), 9, 2, 3),
    ],
)
def test_which_token_is_taken(probabilities: tuple[float, ...], others: int, token: int, passed: int) -> None:
    choice = choose(logits(*probabilities), [SamplingRow(GREEDY, others=others)], 4)
    assert choice.tokens.tolist() == [token]
    assert choice.others == ({0: passed} if others else {})
    assert choice.logprobs[0] == pytest.approx(math.log(probabilities[token]), abs=1e-5)


def test_ends_and_forbidden_tokens_are_no_alternatives() -> None:
    rows = [
        SamplingRow(GREEDY, others=1, no_others=[3]),
        SamplingRow(GREEDY, others=1, forbidden=[3]),
        SamplingRow(GREEDY, others=1, no_others=[0]),
    ]
    choice = choose(logits(0.4, 0.2, 0.1, 0.3).repeat(3, 1), rows, 4)
    assert choice.tokens.tolist() == [1, 1, 3]


def texts(model: Llama, tokenizer: Tokenizer, request: Request, **settings: object) -> list[tuple[int, ...]]:
    engine = Engine(model, tokenizer, **settings)
    engine.add_request(request)
    found = {}
    while engine.has_work:
        for output in engine.step():
            assert output.error is None
            if (done := output.completion) is not None:
                found[done.sample] = done.ids
    return [found[number] for number in range(request.samples)]


def test_each_sample_leaves_the_likeliest_text_once(model: Llama, tokenizer: Tokenizer) -> None:
    ids = tuple(tokenizer.encode(CODE)[:30])
    request = Request(ids, GREEDY, samples=4, stop_ids=NEVER, alternatives=True)
    (first, *others) = texts(model, tokenizer, request)
    generator = LocalGenerator(model, tokenizer)
    assert [done.ids for done in generator.generate([replace(request, samples=1)])] == [first]
    assert len({first, *others}) == 4
    for other in others:
        place = next(place for place in range(12) if other[place] != first[place])
        scores = model.logits(model(torch.tensor([[*ids, *first[:place]]])))[0, -1].log_softmax(-1)
        assert scores[other[place]] >= scores[first[place]] + math.log(0.2) - 1e-4
        # and from there on it is the likeliest again
        rest = Request((*ids, *other[: place + 1]), SamplingParams(11 - place), stop_ids=NEVER)
        if place < 11:
            assert [done.ids for done in generator.generate([rest])] == [other[place + 1 :]]


def test_nothing_else_changes_them(model: Llama, tokenizer: Tokenizer) -> None:
    request = Request(
        tuple(tokenizer.encode(CODE * 2)[:60]), GREEDY, samples=3, stop_ids=NEVER, alternatives=True
    )
    expected = texts(model, tokenizer, request)
    for settings in ({"speculate": True}, {"cache_tokens": 96}, {"chunk_tokens": 7}, {"max_running": 1}):
        assert texts(model, tokenizer, request, **settings) == expected, settings


def test_samples_that_were_not_asked_to_differ_are_equal_and_drawn_ones_are_drawn(
    model: Llama, tokenizer: Tokenizer
) -> None:
    ids = tuple(tokenizer.encode(CODE)[:30])
    plain = Request(ids, GREEDY, samples=3, stop_ids=NEVER)
    assert len(set(texts(model, tokenizer, plain))) == 1
    drawn = replace(plain, sampling=replace(GREEDY, temperature=0.8, seed=3))
    assert texts(model, tokenizer, replace(drawn, alternatives=True)) == texts(model, tokenizer, drawn)


def test_what_a_healed_prompt_ends_in_stays(model: Llama, tokenizer: Tokenizer) -> None:
    """Another spelling of the required bytes would be no other text."""
    request = replace(completion_request(tokenizer, CODE[:45], GREEDY, samples=3), alternatives=True)
    assert request.required
    done = by_request(list(LocalGenerator(model, tokenizer).generate([request])))
    assert len({one.text for one in done.values()}) == 3
    for one in done.values():
        assert b"".join(map(tokenizer.token_bytes, one.ids)).startswith(request.required)
