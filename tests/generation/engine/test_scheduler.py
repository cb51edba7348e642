"""Who is in a pass: fairness, bounds, preemption."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from engine_models import NEVER, beginning, recite

from codecascade.generation.editing.stops import EditorStops
from codecascade.generation.engine import scheduler
from codecascade.generation.engine.engine import Engine
from codecascade.generation.requests import Completion, Request, SamplingParams
from codecascade.model.llama import Llama
from codecascade.tokens.tokenizer import Tokenizer


def ask(tokenizer: Tokenizer, tokens: int, new: int, **settings: object) -> Request:
    return beginning(tokenizer, tokens, sampling=SamplingParams(new), stop_ids=NEVER, **settings)


def different(tokenizer: Tokenizer, number: int, tokens: int, new: int) -> Request:
    """Prompts that share nothing."""
    return Request((10 + number,) * tokens, SamplingParams(new), stop_ids=NEVER)


def finished(engine: Engine) -> list[Completion]:
    found = []
    for _ in range(5000):
        if not engine.has_work:
            return found
        found += [output.completion for output in engine.step() if output.completion is not None]
    raise AssertionError("no end")


def test_decoding_and_reading_go_on_beside_each_other(model: Llama, tokenizer: Tokenizer) -> None:
    engine = Engine(recite(model, tokenizer).model, tokenizer, chunk_tokens=8)
    writers = [engine.add_request(different(tokenizer, number, 2, 60)) for number in range(20)]
    for _ in range(8):
        engine.step()
    assert len(engine._scheduler.running) == 6, "three quarters of a pass"
    reader = engine._scheduler.waiting[0].state
    for number in range(14):
        engine.abort(writers[19 - number])
    engine.abort(writers[5])
    long = engine.add_request(different(tokenizer, 30, 100, 2))
    gained = dict.fromkeys(writers[:5], 0)
    passes = 0
    while long in engine._states:
        for output in engine.step():
            if output.request in gained:
                gained[output.request] += len(output.delta.ids)
        passes += 1
    assert reader is not None and set(gained.values()) == {passes}, "each has one token of each pass"
    assert passes <= 100 // 3 + 3, "and the prompt has the rest"


def test_a_short_prompt_does_not_wait_for_a_long_one(model: Llama, tokenizer: Tokenizer) -> None:
    engine = Engine(recite(model, tokenizer).model, tokenizer, chunk_tokens=16)
    long = engine.add_request(different(tokenizer, 0, 120, 2))
    engine.step()
    short = engine.add_request(different(tokenizer, 1, 6, 2))
    order = [completion.request for completion in finished(engine)]
    assert order == [short, long]


def test_the_oldest_is_served_first_and_gives_nothing_back(
    model: Llama, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduler, "_RESERVED", 0)
    engine = Engine(recite(model, tokenizer).model, tokenizer, cache_tokens=16 * 12, chunk_tokens=64)
    numbers = [engine.add_request(different(tokenizer, number, 20, 50)) for number in range(6)]
    order = [completion.request for completion in finished(engine)]
    assert order == numbers
    assert engine._scheduler.preemptions > 0, "nothing was tested"
    assert len(engine.model.passes) < 300


def test_a_pass_is_bounded_and_computes_nothing_twice(model: Llama, tokenizer: Tokenizer) -> None:
    engine = Engine(recite(model, tokenizer).model, tokenizer, chunk_tokens=32)
    for number in range(9):
        engine.add_request(different(tokenizer, number, 30, 5))
    assert len(finished(engine)) == 9
    assert max(engine.model.passes) <= 32
    assert sum(engine.model.passes) == 9 * (30 + 4)


def test_samples_that_do_not_fit_together_read_their_prompt_once(model: Llama, tokenizer: Tokenizer) -> None:
    engine = Engine(recite(model, tokenizer).model, tokenizer, cache_tokens=16 * 9)
    engine.add_request(ask(tokenizer, 40, 10, samples=40))
    assert len(finished(engine)) == 40
    assert engine._scheduler.preemptions == 0
    assert sum(engine.model.passes) == 41 + 40 * 9


def test_prompts_of_one_pass_share_what_they_have_in_common(model: Llama, tokenizer: Tokenizer) -> None:
    """Exactly: the second is read on keys and values that the same pass stores."""
    lengths: list[int] = []
    handle = model.register_forward_pre_hook(lambda _, inputs: lengths.append(inputs[0].shape[1]))
    try:
        engine = Engine(model, tokenizer)
        requests = [ask(tokenizer, tokens, 8) for tokens in (40, 50, 60)]
        numbers = [engine.add_request(request) for request in requests]
        together = {completion.request: completion for completion in finished(engine)}
    finally:
        handle.remove()
    assert lengths[0] == 41 + (51 - 32) + (61 - 48)
    for number, request in zip(numbers, requests, strict=True):
        engine = Engine(model, tokenizer)
        engine.add_request(request)
        (alone,) = finished(engine)
        assert (together[number].ids, together[number].text) == (alone.ids, alone.text)


def test_prefixes_can_be_forgotten(model: Llama, tokenizer: Tokenizer) -> None:
    engine = Engine(recite(model, tokenizer).model, tokenizer)
    for forget in (False, False, True):
        if forget:
            engine.forget_prefixes()
        engine.add_request(ask(tokenizer, 40, 1))
        finished(engine)
    assert engine.model.passes == [41, 9, 41]


def test_numbers_that_are_none_stay_with_their_sequence(model: Llama, tokenizer: Tokenizer) -> None:
    """Blocks of a sequence whose keys and values are no numbers are cleared before others use them."""
    request = ask(tokenizer, 20, 12)
    engine = Engine(model, tokenizer, cache_tokens=48)
    engine.add_request(request)
    (expected,) = finished(engine)
    broken: list[bool] = [True]
    projection = model.model.layers[0].self_attn.v_proj
    handle = projection.register_forward_hook(
        lambda _, __, out: torch.full_like(out, torch.nan) if broken[0] else out
    )
    try:
        engine = Engine(model, tokenizer, cache_tokens=48)
        engine.add_request(ask(tokenizer, 20, 3))
        finished(engine)
        broken[0] = False
        engine.add_request(request)
        (found,) = finished(engine)
    finally:
        handle.remove()
    assert found.ids == expected.ids


def test_an_editors_stops_end_a_text(model: Llama, tokenizer: Tokenizer) -> None:
    generator = recite(model, tokenizer)
    request = beginning(tokenizer, 12, sampling=SamplingParams(60))
    prefix = tokenizer.decode(request.ids)
    (plain,) = generator.generate([request])
    assert plain.text.count("\n") > 1
    line = EditorStops(prefix, "", lines="single")
    (found,) = generator.generate([replace(request, editor=line)])
    assert found.finish_reason == "stop" and isinstance(found.stopped_by, str)
    assert found.text.strip("\n") == plain.text.split("\n")[0 if plain.text.split("\n")[0] else 1]
    assert "".join(generator.stream(replace(request, editor=line))) == found.text
