"""Whatever arrives when, is cancelled, guessed or computed again: each text is what it is alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import pytest
import torch
from engine_models import CODE, NEVER, recite, tiny_model
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from codecascade.generation.engine import drafts, scheduler
from codecascade.generation.engine.engine import Engine
from codecascade.generation.engine.output import Output
from codecascade.generation.requests import Completion, Request, SamplingParams
from codecascade.model.llama import Llama
from codecascade.tokens.tokenizer import Tokenizer

ROOM = 14


@dataclass(frozen=True)
class Arrival:
    """A request that comes before pass ``at``, and is cancelled before pass ``cancelled``."""

    at: int
    prompt: int
    length: int
    samples: int
    temperature: float
    max_new_tokens: int
    cancelled: int | None


def request_of(tokenizer: Tokenizer, arrival: Arrival) -> Request:
    """Prompts of the same number share their beginnings; the text repeats itself, so that guesses can be right."""
    ids = tokenizer.encode(CODE, bos=True)
    tokens = (ids[arrival.prompt :] + ids)[: arrival.length]
    sampling = SamplingParams(arrival.max_new_tokens, arrival.temperature, seed=arrival.prompt)
    return Request(tuple(tokens), sampling, samples=arrival.samples, stop_ids=NEVER)


arrivals = st.lists(
    st.builds(
        Arrival,
        at=st.integers(0, 12),
        prompt=st.integers(0, 2),
        length=st.integers(1, 70),
        samples=st.integers(1, 4),
        temperature=st.sampled_from([0.0, 0.0, 1.0]),
        max_new_tokens=st.integers(0, ROOM),
        cancelled=st.none() | st.integers(0, 20),
    ),
    min_size=1,
    max_size=6,
)


class Always:
    """Stands in for the measured gain: drafts in every pass."""

    pays = True

    def without(self, rows: int, seconds: float) -> None: ...

    def with_drafts(self, tokens: int, seconds: float) -> None: ...


@dataclass
class Guesses:
    """Stands in for the lookup of n-grams: what follows in known texts, now and then with a mistake."""

    texts: list[tuple[int, ...]]

    def __call__(self, _: object, ids: Sequence[int], most: int) -> list[int]:
        for text in self.texts:
            if text[: len(ids)] == tuple(ids):
                guess = list(text[len(ids) : len(ids) + min(most, 1 + len(ids) % 5)])
                if len(guess) > 1 and len(ids) % 3 == 0:
                    guess[len(ids) % len(guess)] = 11
                return guess
        return [12, 13][:most]


def run(engine: Engine) -> Iterator[Output]:
    while engine.has_work:
        yield from engine.step()


def alone(model: Llama, tokenizer: Tokenizer, request: Request) -> list[Completion]:
    found = []
    for number in request.sample_numbers:
        engine = Engine(model, tokenizer, cache_tokens=256)
        engine.add_request(replace(request, samples=1, numbers=(number,)))
        found += [output.completion for output in run(engine) if output.completion is not None]
    return found


@lru_cache(maxsize=512)
def expected_of(model: Llama, tokenizer: Tokenizer, request: Request) -> list[Completion]:
    return alone(model, tokenizer, request)


def check_nothing_is_kept(engine: Engine) -> None:
    assert engine.load().running == engine.load().waiting == 0
    assert engine.load().cache_used == 0
    assert not engine._states and not engine._scheduler.forking
    if engine._drafter is not None:
        assert not engine._drafter._lookups


@settings(
    max_examples=16,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    arrivals=arrivals,
    cache=st.integers(6, 40),
    chunk=st.sampled_from([1, 5, 16, 33, 2048]),
    rows=st.sampled_from([1, 3, 256]),
    reserved=st.sampled_from([0, 1, 8]),
    speculate=st.booleans(),
)
@example([Arrival(0, 0, 60, 4, 1.0, 14, None)] * 6, 6, 33, 256, 0, True)
@example([Arrival(0, 0, 48, 4, 0.0, 14, None), Arrival(0, 0, 48, 1, 0.0, 9, None)], 6, 2048, 256, 1, False)
def test_a_schedule_changes_nothing(
    model: Llama,
    tokenizer: Tokenizer,
    monkeypatch: pytest.MonkeyPatch,
    arrivals: Sequence[Arrival],
    cache: int,
    chunk: int,
    rows: int,
    reserved: int,
    speculate: bool,
) -> None:
    expected = [expected_of(model, tokenizer, request_of(tokenizer, arrival)) for arrival in arrivals]
    known = [
        (*request_of(tokenizer, arrival).ids, *completion.ids)
        for arrival, completions in zip(arrivals, expected, strict=True)
        for completion in completions
    ]
    monkeypatch.setattr(scheduler, "_RESERVED", reserved)
    monkeypatch.setattr(drafts, "_Gain", Always)
    monkeypatch.setattr(drafts.PromptLookup, "guess", lambda *args: Guesses(known)(*args))
    engine = Engine(
        model,
        tokenizer,
        cache_tokens=cache * 16,
        chunk_tokens=chunk,
        max_running=rows,
        speculate=speculate,
    )
    numbers: dict[int, int] = {}
    ids: dict[tuple[int, int], list[int]] = {}
    texts: dict[tuple[int, int], str] = {}
    done: dict[tuple[int, int], Completion] = {}
    cancelled = set()
    step = 0
    while engine.has_work or step <= max(arrival.at for arrival in arrivals):
        for index, arrival in enumerate(arrivals):
            if arrival.at == step:
                numbers[engine.add_request(request_of(tokenizer, arrival))] = index
            if arrival.cancelled == step and (at := [n for n, i in numbers.items() if i == index]):
                engine.abort(at[0])
                cancelled.add(index)
        for output in engine.step():
            assert output.error is None
            key = numbers[output.request], output.delta.sample
            assert key[0] not in cancelled and key not in done
            ids.setdefault(key, []).extend(output.delta.ids)
            texts[key] = texts.get(key, "") + output.delta.text
            if output.completion is not None:
                done[key] = output.completion
                assert output.delta.finish_reason is not None and output.delta.usage is not None
        step += 1
        assert step < 3000
    for index, completions in enumerate(expected):
        if index in cancelled:
            continue
        for own in completions:
            found = done[index, own.sample]
            assert (found.ids, found.text) == (own.ids, own.text)
            assert (tuple(ids[index, own.sample]), texts[index, own.sample]) == (found.ids, found.text)
            assert found.finish_reason == own.finish_reason
            assert found.log_probability == pytest.approx(own.log_probability, abs=1e-3)
    check_nothing_is_kept(engine)


def test_guesses_are_made_and_save_passes(
    model: Llama, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A text that repeats itself takes fewer passes, and is the same."""
    monkeypatch.setattr(drafts, "_Gain", Always)
    reciting = recite(model, tokenizer, "for i in range(3):\n    print(i)\n" * 9).model
    ids = tuple(reciting.known[:30])
    found = []
    for speculate in (False, True):
        engine = Engine(reciting, tokenizer, speculate=speculate)
        engine.add_request(Request(ids, SamplingParams(40), stop_ids=NEVER))
        steps = 0
        while engine.has_work:
            outputs, steps = engine.step(), steps + 1
        (done,) = (output.completion for output in outputs if output.completion is not None)
        load = engine.load()
        assert load.completion_tokens == 40 and load.decode_steps == steps - 1
        assert (load.drafted_tokens > 0) == speculate
        assert load.accepted_tokens == 40 - steps
        found.append((done, steps))
    (plain, slow), (guessed, fast) = found
    assert plain == guessed and slow == 40 and fast < 20


def test_bf16_beside_fp32(tokenizer: Tokenizer) -> None:
    """In bf16 kernels for other shapes round differently; log-probabilities stay near those of fp32."""
    whole, half = tiny_model(tokenizer), tiny_model(tokenizer).bfloat16()
    requests = [request_of(tokenizer, Arrival(0, n % 3, 20 + 7 * n, 2, 0.0, 8, None)) for n in range(5)]
    engine = Engine(half, tokenizer, cache_tokens=320, chunk_tokens=24)
    numbers = {engine.add_request(request): request for request in requests}
    for output in run(engine):
        if (done := output.completion) is not None:
            ids = [*numbers[output.request].ids, *done.ids]
            with torch.no_grad():
                scores = whole.logits(whole(torch.tensor([ids])))[0].log_softmax(-1)
            exact = sum(float(scores[at - 1, ids[at]]) for at in range(len(ids) - len(done.ids), len(ids)))
            assert abs(done.log_probability - exact) < 0.15 * len(done.ids)
    check_nothing_is_kept(engine)
