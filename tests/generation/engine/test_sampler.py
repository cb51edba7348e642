"""The sampler against a slow one that follows the definitions, and against transformers."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from codecascade.generation.engine.sampling.distribution import (
    Limits,
    among_top_k,
    draw,
    likeliest_tokens,
    limited,
    nucleus,
)
from codecascade.generation.engine.sampling.sampler import NO_TOKEN, SamplingRow, choose
from codecascade.generation.engine.sampling.token_counts import TokenCounts
from codecascade.generation.requests import SamplingParams
from codecascade.ground.errors import UserError

VOCABULARY = 12
PADDING = 3


def test_the_token_that_crosses_the_mass_stays() -> None:
    probabilities = torch.tensor([[0.1, 0.5, 0.15, 0.25]])
    assert nucleus(probabilities, torch.tensor([0.6])).tolist() == [[0.0, 0.5, 0.0, 0.25]]
    # The mass before the second token is exactly 0.5: it does not exceed top_p, so the token stays.
    assert nucleus(probabilities, torch.tensor([0.5]))[0].count_nonzero() == 2
    assert nucleus(probabilities, torch.tensor([0.49]))[0].count_nonzero() == 1
    assert nucleus(probabilities, torch.tensor([1.0])).tolist() == probabilities.tolist()


def test_top_k_keeps_ties_and_is_of_each_row() -> None:
    probabilities = torch.tensor([[0.1, 0.5, 0.1, 0.3]]).expand(4, 4)
    kept = among_top_k(probabilities, torch.tensor([1, 2, 3, 4]))
    expected = [[0, 1, 0, 0], [0, 0.625, 0, 0.375], [0.1, 0.5, 0.1, 0.3], [0.1, 0.5, 0.1, 0.3]]
    torch.testing.assert_close(kept, torch.tensor(expected))


def test_temperature_and_nucleus_are_of_each_row() -> None:
    logits = torch.tensor([0.1, 0.5, 0.15, 0.25]).log().repeat(4, 1)
    settings_of = [
        SamplingParams(temperature=temperature, top_p=top_p)
        for temperature, top_p in ((0.0, 1.0), (1.0, 1.0), (1.0, 0.6), (0.5, 1.0))
    ]
    rows = [SamplingRow(params, 0.05) for params in settings_of]
    # Greedy; the first tenth is token 0; without tokens 0 and 2 it is 1; at 0.5 token 0 has 0.01 / 0.345 = 0.029.
    assert choose(logits, rows, 4).tokens.tolist() == [1, 0, 1, 1]


# ---- a slow sampler

Numbers = list[float]


def slow_logits(logits: Numbers, row: SamplingRow, prompt: list[int], text: list[int]) -> Numbers:
    """Of the vocabulary, after bias, penalties and everything that is ruled out."""
    params, scores = row.params, logits[:VOCABULARY]
    for token, bias in (*params.logit_bias, *row.added):
        if token < VOCABULARY:
            scores[token] += bias
    for token in range(VOCABULARY):
        if token in prompt or token in text:
            factor = params.repetition_penalty
            scores[token] = scores[token] / factor if scores[token] > 0 else scores[token] * factor
        if token in text:
            scores[token] -= params.presence_penalty + params.frequency_penalty * text.count(token)
    bits = None if row.grammar_mask is None else int(row.grammar_mask.view(np.uint32)[0])
    for token in range(VOCABULARY):
        if (
            token in row.forbidden
            or (row.allowed is not None and token not in row.allowed)
            or (bits is not None and not bits >> token & 1)
        ):
            scores[token] = -math.inf
    return scores


def slow_distribution(scores: Numbers, params: SamplingParams) -> tuple[Numbers, bool]:
    """Probabilities, and whether one of the limits is so near that rounding decides."""
    if params.temperature == 0:
        best = scores.index(max(scores))
        return [float(token == best) for token in range(VOCABULARY)], sorted(scores)[-2] > max(scores) - 1e-4
    weights = [math.exp((score - max(scores)) / params.temperature) for score in scores]
    probabilities = [weight / sum(weights) for weight in weights]
    near = False
    if params.top_k:
        last = sorted(probabilities)[-min(params.top_k, VOCABULARY)]
        near |= any(0 < abs(p - last) < 1e-5 * last for p in probabilities)
        probabilities = [p if p >= last else 0.0 for p in probabilities]
        probabilities = [p / sum(probabilities) for p in probabilities]
    if params.top_p < 1:
        before = [sum(other for other in probabilities if other > p * 1.001) for p in probabilities]
        near |= any(abs(mass - params.top_p) < 1e-4 for mass in before)
        near |= any(0 < abs(p - q) <= 0.001 * p for p in probabilities for q in probabilities)
        probabilities = [p if m <= params.top_p else 0.0 for p, m in zip(probabilities, before, strict=True)]
    least = params.min_p * max(probabilities)
    near |= any(abs(p - least) < 1e-5 * least for p in probabilities)
    probabilities = [p if p >= least else 0.0 for p in probabilities]
    return [p / sum(probabilities) for p in probabilities], near


tokens_of_text = st.lists(st.integers(0, VOCABULARY - 1), max_size=6)
some_tokens = st.sets(st.integers(0, VOCABULARY - 1), max_size=4).map(sorted)
most_params = st.builds(
    SamplingParams,
    temperature=st.sampled_from([0.0, 0.3, 1.0, 2.5]),
    top_p=st.sampled_from([0.2, 0.7, 0.95, 1.0]),
    top_k=st.sampled_from([0, 1, 3, 40]),
    min_p=st.sampled_from([0.0, 0.1, 0.9]),
    repetition_penalty=st.sampled_from([1.0, 0.7, 1.5]),
    presence_penalty=st.sampled_from([0.0, 0.8, -0.5]),
    frequency_penalty=st.sampled_from([0.0, 0.4, -0.3]),
    logit_bias=st.lists(
        st.tuples(st.integers(0, VOCABULARY + 5), st.sampled_from([-math.inf, -5.0, 2.0])), max_size=3
    ).map(tuple),
    logprobs=st.sampled_from([None, 0, 2, 40]),
)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Numbers, SamplingRow, list[int], list[int]]:
    logits = draw(
        st.lists(
            st.integers(-32, 32).map(lambda n: n / 4),
            min_size=VOCABULARY + PADDING,
            max_size=VOCABULARY + PADDING,
        )
    )
    params = draw(most_params)
    prompt, text = draw(tokens_of_text), draw(tokens_of_text)
    counts = TokenCounts.of(params, prompt)
    assert (counts is None) == (not params.counts_tokens)
    for token in text if counts is not None else ():
        counts.add(token)
    forbidden = draw(some_tokens)
    row = SamplingRow(params, 0.0, counts, forbidden=frozenset(forbidden))
    row.added = tuple((token, -1.0) for token in draw(some_tokens))
    if draw(st.booleans()):
        row.allowed = sorted({*draw(some_tokens), 5, 7})
    if draw(st.booleans()):
        mask = sum(1 << token for token in {*draw(some_tokens), 5, 7})
        row.grammar_mask = np.array([mask], dtype=np.uint32).view(np.int32)
    return logits, row, prompt, text


@settings(deadline=None, max_examples=100)
@given(st.lists(cases(), min_size=1, max_size=4))
def test_every_row_of_a_batch_is_drawn_from_the_distribution_that_its_settings_define(
    batch: list[tuple[Numbers, SamplingRow, list[int], list[int]]],
) -> None:
    """A fine grid of draws gives each token its share, whatever else is in the batch."""
    draws = 256
    grid = [(number + 0.5) / draws for number in range(draws)]
    logits = torch.tensor([one for one, _, _, _ in batch for _ in grid])
    rows = [replace(row, uniform=uniform) for _, row, _, _ in batch for uniform in grid]
    choice = choose(logits.clone(), rows, VOCABULARY)
    for number, (values, row, prompt, text) in enumerate(batch):
        of_batch = slice(number * draws, (number + 1) * draws)
        drawn = choice.tokens[of_batch]
        scores = slow_logits(list(values), row, prompt, text)
        if max(scores) == -math.inf:
            continue
        own = torch.tensor(values).log_softmax(-1)
        torch.testing.assert_close(choice.logprobs[of_batch], own[drawn], atol=1e-4, rtol=1e-4)
        expected_top = own[:VOCABULARY].sort(descending=True).values[: row.params.logprobs or 0]
        top = choice.top[of_batch.start]
        assert [value for _, value in top] == pytest.approx(expected_top.tolist(), abs=1e-4)
        assert [value for _, value in top] == pytest.approx([float(own[token]) for token, _ in top], abs=1e-4)
        probabilities, near = slow_distribution(scores, row.params)
        shares = torch.bincount(drawn, minlength=VOCABULARY) / draws
        assert not shares[[token for token in range(VOCABULARY) if scores[token] == -math.inf]].any()
        if not near:
            assert shares.tolist() == pytest.approx(probabilities, abs=2 / draws)


# ---- transformers, where it defines the same

IDS = [[3, 1, 4, 1, 5, 9, 2, 6]]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("params", "processors"),
    [
        ({"temperature": 0.7}, [transformers.TemperatureLogitsWarper(0.7)]),
        ({"top_k": 5}, [transformers.TopKLogitsWarper(5)]),
        ({"top_p": 0.8}, [transformers.TopPLogitsWarper(0.8)]),
        ({"min_p": 0.15}, [transformers.MinPLogitsWarper(0.15)]),
        ({"repetition_penalty": 1.3}, [transformers.RepetitionPenaltyLogitsProcessor(1.3)]),
        ({"repetition_penalty": 0.8}, [transformers.RepetitionPenaltyLogitsProcessor(0.8)]),
        ({"logit_bias": ((2, 1.5),)}, [transformers.SequenceBiasLogitsProcessor([[[2], 1.5]])]),
        (
            {
                "logit_bias": ((2, 1.5),),
                "repetition_penalty": 1.2,
                "temperature": 1.4,
                "top_k": 9,
                "top_p": 0.9,
                "min_p": 0.05,
            },
            [
                transformers.SequenceBiasLogitsProcessor([[[2], 1.5]]),
                transformers.RepetitionPenaltyLogitsProcessor(1.2),
                transformers.TemperatureLogitsWarper(1.4),
                transformers.TopKLogitsWarper(9),
                transformers.TopPLogitsWarper(0.9),
                transformers.MinPLogitsWarper(0.05),
            ],
        ),
    ],
)  # fmt: skip
def test_settings_mean_what_they_mean_in_transformers(
    params: dict[str, object], processors: list[object], seed: int
) -> None:
    logits = torch.randn(1, VOCABULARY, generator=torch.Generator().manual_seed(seed)) * 2
    expected = transformers.LogitsProcessorList(processors)(torch.tensor(IDS), logits.clone()).softmax(-1)[0]
    settings_of = SamplingParams(**{"temperature": 1.0, **params})
    row = SamplingRow(settings_of, counts=TokenCounts.of(settings_of, IDS[0]))
    draws = 2000
    rows = [replace(row, uniform=(number + 0.5) / draws) for number in range(draws)]
    drawn = choose(logits.repeat(draws, 1), rows, VOCABULARY).tokens
    shares = torch.bincount(drawn, minlength=VOCABULARY) / draws
    torch.testing.assert_close(shares, expected, atol=1.5 / draws, rtol=0)


# ---- what is never drawn


def test_what_has_no_probability_is_never_drawn() -> None:
    logits = torch.tensor([[-torch.inf, 0.0, -torch.inf, 0.0]]).repeat(3, 1)
    rows = [SamplingRow(SamplingParams(temperature=1.0), uniform) for uniform in (0.0, 0.5, 1 - 2**-53)]
    assert choose(logits, rows, 4).tokens.tolist() == [1, 3, 3]


@given(st.lists(st.floats(-40, 40), min_size=2, max_size=50), st.floats(0, 1, exclude_max=True))
def test_the_last_draw_of_all_is_a_token_that_may_come(logits: list[float], uniform: float) -> None:
    rows = [SamplingRow(SamplingParams(temperature=1.0, top_p=0.9), draw) for draw in (uniform, 1 - 2**-53)]
    forbidden = frozenset({len(logits)})
    for row in rows:
        row.forbidden = forbidden
    chosen = choose(torch.tensor([[*logits, 50.0]] * 2), rows, len(logits) + 1).tokens
    assert not set(chosen.tolist()) & forbidden


@pytest.mark.parametrize("params", [{"temperature": 1e-45}, {"logit_bias": ((1, 3e38), (2, 3e38))}])
def test_settings_at_the_end_of_float32_take_the_likeliest(params: dict[str, object]) -> None:
    row = SamplingRow(SamplingParams(**{"temperature": 1e-3, **params}), 0.7)
    assert choose(torch.tensor([[1.0, 3.0, 2.0]]), [row], 3).tokens.tolist() == [1]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("others", [0, 1])
def test_where_no_token_may_come_none_is_chosen(temperature: float, others: int) -> None:
    """Not the first of those that are ruled out, beside rows that go on."""
    params = SamplingParams(temperature=temperature, logit_bias=((2, -math.inf),))
    none = SamplingRow(params, 0.5, allowed=[2, 3], forbidden=[3], others=others)
    one = SamplingRow(params, 0.5, allowed=[1, 2], forbidden=[3])
    choice = choose(torch.zeros(3, 5), [one, none, one], 5)
    assert choice.tokens.tolist() == [1, NO_TOKEN, 1]
    assert bool(choice.logprobs.isfinite().all())


def test_tokens_that_the_vocabulary_does_not_have_are_passed_over() -> None:
    """Prompts of raw ids and a client's bias may name rows that are padding."""
    params = SamplingParams(repetition_penalty=2.0, logit_bias=((3, 100.0), (10**9, 1.0)))
    counts = TokenCounts.of(params, [3, 10**6])
    assert counts is not None
    counts.add(3)
    assert (
        choose(torch.tensor([[1.0, 2.0, 3.0, 9.0]]), [SamplingRow(params, counts=counts)], 3).tokens.item()
        == 2
    )


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("max_new_tokens", -1),
        ("temperature", -0.1),
        ("temperature", math.inf),
        ("top_p", 0.0),
        ("top_p", 1.5),
        ("top_k", -1),
        ("min_p", 1.1),
        ("repetition_penalty", 0.0),
        ("repetition_penalty", math.inf),
        ("presence_penalty", math.inf),
        ("frequency_penalty", -math.inf),
        ("logit_bias", ((-1, 0.0),)),
        ("logit_bias", ((1, math.inf),)),
        ("logit_bias", ((1, math.nan),)),
        ("logprobs", -1),
        *((key, math.nan) for key in ("temperature", "top_p", "min_p", "repetition_penalty", "presence_penalty")),
    ],
)  # fmt: skip
def test_impossible_settings_are_refused_by_name(key: str, value: object) -> None:
    with pytest.raises(UserError, match=key):
        SamplingParams(**{key: value})


@given(
    seed=st.integers(0, 10**6),
    spread=st.sampled_from([0.0, 0.5, 3.0, 12.0]),
    top_k=st.sampled_from([0, 1, 40, 64, 65, 500, 20_000]),
    top_p=st.sampled_from([0.05, 0.5, 0.95, 0.999, 1.0]),
    min_p=st.sampled_from([0.0, 0.01, 0.9]),
)
@settings(max_examples=60, deadline=None)
def test_the_likeliest_tokens_alone_give_what_all_give(
    seed: int, spread: float, top_k: int, top_p: float, min_p: float
) -> None:
    """A large vocabulary, flat and peaked rows, ties, and a row without a distribution."""
    torch.manual_seed(seed)
    size = 9_001
    logits = (torch.randn(6, size) * spread).round(decimals=2)
    logits[4, : size - 3] = -math.inf
    logits[5] = math.nan
    probabilities = logits.softmax(-1)
    limits = Limits(
        torch.tensor([top_k or size] * 5 + [3]), torch.tensor([top_p] * 6), torch.tensor([min_p] * 6)
    )
    uniform, likeliest = torch.rand(6, dtype=torch.float64), torch.arange(6)
    found = draw(probabilities, limits, uniform, likeliest)
    cumulative = limited(probabilities, limits).double().cumsum(-1)
    for row, token in enumerate(found.tolist()[:5]):
        # rounding may move a border that the draw is on
        target = uniform[row] * cumulative[row, -1]
        before = cumulative[row, token - 1] if token else 0.0
        assert before - 1e-6 <= target <= cumulative[row, token] + 1e-6
        assert cumulative[row, token] > before
    assert found[5] == 5


def test_the_likeliest_tokens_are_found_by_groups() -> None:
    torch.manual_seed(0)
    values = torch.rand(7, 9_001)
    values[0], values[1, -1], values[2, 128:140] = 0.5, 2.0, 3.0
    found, columns = likeliest_tokens(values, 64)
    torch.testing.assert_close(found, values.topk(64).values)
    torch.testing.assert_close(values.gather(-1, columns), found)
    assert all(len(set(row)) == 64 for row in columns.tolist())
