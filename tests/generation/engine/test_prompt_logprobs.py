"""How likely a prompt's tokens are: the same numbers in whatever way the prompt is read."""

from __future__ import annotations

import numpy as np
import pytest
from engine_models import CODE

from codecascade.generation.engine.engine import Engine
from codecascade.generation.engine.generator import LocalGenerator
from codecascade.generation.logprob_table import TokenLogprobs
from codecascade.generation.requests import Request, SamplingParams
from codecascade.generation.streaming import Delta
from codecascade.model.llama import Llama
from codecascade.tokens.reference import ReferenceTokens
from codecascade.tokens.tokenizer import Tokenizer


def run(engine: Engine, *requests: Request) -> list[list[Delta]]:
    """The deltas of each request."""
    numbers = [engine.add_request(request) for request in requests]
    found: dict[int, list[Delta]] = {number: [] for number in numbers}
    while engine.has_work:
        for output in engine.step():
            assert output.error is None
            found[output.request].append(output.delta)
    return [found[number] for number in numbers]


def scores(deltas: list[Delta]) -> tuple[TokenLogprobs, ...]:
    assert not any(delta.prompt_logprobs for delta in deltas[1:]), "they come once"
    return deltas[0].prompt_logprobs


@pytest.fixture(scope="module")
def ids(tokenizer: Tokenizer) -> tuple[int, ...]:
    return tuple(tokenizer.encode(CODE, bos=True)[:90])


@pytest.mark.parametrize("new", [0, 3])
@pytest.mark.parametrize("chunk", [7, 64, 2048])
def test_they_are_those_of_the_text_alone(
    model: Llama, tokenizer: Tokenizer, ids: tuple[int, ...], chunk: int, new: int
) -> None:
    [(_, wanted)] = LocalGenerator(model, tokenizer).log_probabilities([ids])
    engine = Engine(model, tokenizer, chunk_tokens=chunk, context=256, speculate=True)
    others = [Request(ids[:number], SamplingParams(9)) for number in (5, 33)]
    asked = Request(ids, SamplingParams(new, prompt_logprobs=2), samples=2)
    # Twice: the second time all of it is in the prefix cache.
    for _ in range(2):
        answers = run(engine, *others, asked)
        assert not scores(answers[0]) and not scores(answers[1])
        found = scores(answers[2])
        assert [token.token for token in found] == list(ids[1:])
        assert [token.logprob for token in found] == pytest.approx(wanted, abs=1e-4)
        assert all(len(token.top) == 2 and token.top[0][1] >= token.top[1][1] for token in found)
        likeliest = [token for token in found if token.token == token.top[0][0]]
        assert all(token.logprob == token.top[0][1] for token in likeliest)


def test_a_prompt_that_is_read_anew_is_scored_anew(
    model: Llama, tokenizer: Tokenizer, ids: tuple[int, ...]
) -> None:
    [(_, wanted)] = LocalGenerator(model, tokenizer).log_probabilities([ids])
    engine = Engine(model, tokenizer, chunk_tokens=16, context=256)
    engine.add_request(Request(ids, SamplingParams(1, prompt_logprobs=0)))
    for _ in range(3):
        engine.step()
    engine._scheduler.preempt_all()
    deltas = [output.delta for _ in range(20) if engine.has_work for output in engine.step()]
    assert [token.logprob for token in scores(deltas)] == pytest.approx(wanted, abs=1e-4)
    assert not any(token.top for token in scores(deltas))


@pytest.mark.parametrize("chunk", [7, 64, 2048])
def test_what_comes_before_the_wanted_tokens_may_be_cached(
    model: Llama, tokenizer: Tokenizer, ids: tuple[int, ...], chunk: int
) -> None:
    [(_, wanted)] = LocalGenerator(model, tokenizer).log_probabilities([ids])
    engine = Engine(model, tokenizer, chunk_tokens=chunk, context=256)
    run(engine, Request(ids[:80], SamplingParams(1)))
    for first in (70, 17, 1):
        before = engine.load().cached_tokens
        [deltas] = run(engine, Request(ids, SamplingParams(0, prompt_logprobs=0), scored_from=first))
        assert [token.token for token in scores(deltas)] == list(ids[first:])
        found = [token.logprob for token in scores(deltas)]
        assert found == pytest.approx(wanted[first - 1 :], abs=1e-4)
        assert engine.load().cached_tokens - before == (first - 1) // 16 * 16


@pytest.mark.parametrize("cache", [128, None])
def test_a_reference_answer_is_scored_with_its_prompt(
    model: Llama, tokenizer: Tokenizer, ids: tuple[int, ...], cache: int | None
) -> None:
    """Its prompt is read once, as long as the cache has room for it; the numbers are those of the text alone."""
    generator = LocalGenerator(model, tokenizer, batch_tokens=cache, context=120)
    prompts = [ids[first : first + 60] for first in (0, 10, 20)]
    requests = [
        Request(
            prompt,
            SamplingParams(4),
            samples=1 + number,
            references=tuple(
                ReferenceTokens((*prompt[:-2], *ids[:9], way), 58) for way in range(3, 3 + number)
            ),
        )
        for number, prompt in enumerate(prompts)
    ]
    # nothing of it would fit
    requests.append(Request(ids[:30], SamplingParams(1), references=(ReferenceTokens(ids * 2, 90),)))
    found = list(generator.generate(requests))
    assert sorted((each.request, each.sample) for each in found) == [
        (0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2), (3, 0),
    ]  # fmt: skip
    alone = {each.request: each.text for each in LocalGenerator(model, tokenizer).generate(requests[:1])}
    assert [each.text for each in found if each.request == 0] == [alone[0]]
    for each in found:
        if each.request in (0, 3):
            assert each.references is None
            continue
        assert each.references is not None and len(each.references) == each.request
        for scored, reference in zip(each.references, requests[each.request].references, strict=True):
            [(_, whole)] = generator.log_probabilities([reference.ids])
            assert list(scored) == pytest.approx(whole[57:], abs=1e-4)
    load = generator.engine.load()
    assert cache is not None or load.cached_tokens >= 3 * 48, "the references go on from their prompts"


@pytest.mark.parametrize("first", [-1, 0, 4])
def test_tokens_that_nothing_predicts_can_not_be_scored(first: int) -> None:
    with pytest.raises(ValueError, match="scored_from must be from 1 to 3"):
        Request((5, 6, 7), SamplingParams(0, prompt_logprobs=0), scored_from=first)


@pytest.mark.parametrize("chunk", [16, 40, 2048])
def test_any_of_some_tokens_may_be_the_last(
    model: Llama, tokenizer: Tokenizer, ids: tuple[int, ...], chunk: int
) -> None:
    generator = LocalGenerator(model, tokenizer, prefill_tokens=chunk)
    no_row = model.config.vocab_size + 3
    references = [
        ReferenceTokens(ids[:70], 60, any_last=(ids[69], 11, 12, no_row)),
        ReferenceTokens(ids[:70], 60),
        ReferenceTokens((*ids[:66], 9), 60, any_last=(8, 9)),
        ReferenceTokens((*ids[:10], 9), 10, any_last=(9, 8)),
        ReferenceTokens(ids[:5], 5),
    ]

    def last(reference: ReferenceTokens) -> list[float]:
        lasts = [each for each in reference.any_last or reference.ids[-1:] if each != no_row]
        asked = [[*reference.ids[:-1], each] for each in lasts]
        whole = [LocalGenerator(model, tokenizer).log_probabilities([each]) for each in asked]
        found = [scores[reference.first - 1 :] for [(_, scores)] in whole]
        return [*found[0][:-1], float(np.logaddexp.reduce([each[-1] for each in found]))] if found[0] else []

    wanted = [pytest.approx(last(each), abs=1e-4) for each in references]
    found = dict(generator.reference_scores(references))
    assert [found[index] for index in range(len(references))] == wanted
    alone = [dict(generator.reference_scores([each]))[0] for each in references]
    assert alone == wanted
    # behind a prompt that the engine reads anyway
    engine = LocalGenerator(model, tokenizer, prefill_tokens=chunk)
    [completion] = engine.generate([Request(ids[:60], SamplingParams(2), references=tuple(references))])
    assert completion.references is not None
    assert [list(each) for each in completion.references] == wanted


def test_an_empty_reference_answer_has_no_scores(model: Llama, tokenizer: Tokenizer) -> None:
    request = Request((5, 6, 7), SamplingParams(1), references=(ReferenceTokens((5, 6, 7), 3),))
    [found] = LocalGenerator(model, tokenizer).generate([request])
    assert found.references == ((),)


def test_a_single_token_has_nothing_before_it(model: Llama, tokenizer: Tokenizer) -> None:
    [deltas] = run(Engine(model, tokenizer), Request((5,), SamplingParams(2, prompt_logprobs=1)))
    assert scores(deltas) == () and deltas


def test_tokens_that_are_allowed_and_ends_that_are_too_early(model: Llama, tokenizer: Tokenizer) -> None:
    engine = Engine(model, tokenizer, speculate=True)
    allowed = frozenset({20, 21})
    wanted = SamplingParams(12, temperature=1.0)
    [deltas] = run(engine, Request((5, 6), wanted, allowed=allowed, stop_ids=frozenset()))
    tokens = [token for delta in deltas for token in delta.ids]
    assert len(tokens) == 12 and set(tokens) <= allowed
    # 21 ends the text, but not before the fifth token
    request = Request((5, 6), wanted, allowed=allowed, stop_ids=frozenset({21}), min_tokens=5)
    for seed in range(4):
        [deltas] = run(engine, Request(**{**vars(request), "sampling": SamplingParams(12, 1.0, seed=seed)}))
        tokens = [token for delta in deltas for token in delta.ids]
        assert tokens == [20] * len(tokens) and len(tokens) >= 5
