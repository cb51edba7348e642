"""What one request, an interrupt or a lack of memory may not do to the others."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from engine_models import CODE, NEVER, tiny_model

from codecascade.generation.engine.engine import Engine
from codecascade.generation.engine.generator import LocalGenerator
from codecascade.generation.engine.sampling import grammar_compiler
from codecascade.generation.engine.sampling.grammar_compiler import GrammarCompiler
from codecascade.generation.engine.service import EngineService
from codecascade.generation.grammar import Grammar
from codecascade.generation.requests import Completion, Request, SamplingParams
from codecascade.ground.errors import UserError
from codecascade.model.llama import Llama
from codecascade.tokens.tokenizer import Tokenizer


def ask(tokenizer: Tokenizer, first: int = 0, tokens: int = 40, new: int = 8, **settings: object) -> Request:
    ids = tokenizer.encode(CODE)[first : first + tokens]
    return Request(tuple(ids), **{"sampling": SamplingParams(new), "stop_ids": NEVER, **settings})


def finish(engine: Engine) -> list[Completion]:
    found = []
    while engine.has_work:
        for output in engine.step():
            assert output.error is None
            if output.completion is not None:
                found.append(output.completion)
    return found


def alone(model: Llama, tokenizer: Tokenizer, request: Request) -> Completion:
    engine = Engine(model, tokenizer)
    engine.add_request(request)
    (found,) = finish(engine)
    return found


@pytest.mark.parametrize("token", [-1, 10**6, 10**30])
def test_a_prompt_with_what_is_no_token_is_refused_and_others_go_on(
    model: Llama, tokenizer: Tokenizer, token: int
) -> None:
    engine = Engine(model, tokenizer)
    engine.add_request(ask(tokenizer))
    engine.step()
    with pytest.raises(UserError, match="no token"):
        engine.add_request(Request((1, token, 2), SamplingParams(4)))
    (found,) = finish(engine)
    assert found.ids == alone(model, tokenizer, ask(tokenizer)).ids


def test_tokens_that_the_model_does_not_have_are_never_chosen_anyway(
    model: Llama, tokenizer: Tokenizer
) -> None:
    """Neither those that a request forbids nor those that end its text need to be tokens."""
    expected = alone(model, tokenizer, ask(tokenizer))
    strange = frozenset({-3, tokenizer.vocab_size, 10**9, 10**30})
    request = ask(tokenizer, stop_ids=strange, forbidden=strange, nonempty=True)
    assert alone(model, tokenizer, request).ids == expected.ids


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_request_that_leaves_no_token_ends_without_one(
    model: Llama, tokenizer: Tokenizer, temperature: float, samples: int
) -> None:
    """A token that was ruled out is not written where nothing else is left; others go on."""
    sampling = SamplingParams(8, temperature, logit_bias=((20, -math.inf),), logprobs=2)
    grammar = Grammar("regex", tokenizer.decode([30]) + "+")
    by_bias = ask(tokenizer, sampling=sampling, allowed=frozenset({20, 21}), forbidden=frozenset({21}))
    bias = tuple((token, -math.inf) for token in range(tokenizer.vocab_size))
    by_grammar = ask(tokenizer, sampling=replace(sampling, logit_bias=bias), grammar=grammar)
    for request in (by_bias, by_grammar):
        engine = Engine(model, tokenizer)
        engine.add_request(ask(tokenizer))
        engine.add_request(replace(request, samples=samples))
        whole, *none = sorted(finish(engine), key=lambda found: found.request)
        assert whole.ids == alone(model, tokenizer, ask(tokenizer)).ids
        assert [(found.ids, found.text, found.finish_reason) for found in none] == [
            ((), "", "length")
        ] * samples
        assert engine.load().cache_used == 0


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
@pytest.mark.parametrize("where", ["_forward", "schedule"])
def test_nothing_is_believed_of_a_pass_that_was_not_made(
    model: Llama,
    tokenizer: Tokenizer,
    error: type[BaseException],
    where: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The blocks that it was to fill are known by their prefixes, but hold nothing."""
    generator = LocalGenerator(model, tokenizer)
    engine = generator.engine

    def fail(*_: object) -> None:
        raise error

    def schedule() -> None:
        type(engine._scheduler).schedule(engine._scheduler)
        raise error

    with monkeypatch.context() as patch:
        if where == "schedule":
            patch.setattr(engine._scheduler, "schedule", schedule)
        else:
            patch.setattr(engine._runner, "_forward", fail)
        with pytest.raises(error):
            list(generator.generate([ask(tokenizer)]))
    (found,) = generator.generate([ask(tokenizer)])
    assert found.ids == alone(model, tokenizer, ask(tokenizer)).ids
    assert engine.load().cache_used == 0


@contextmanager
def no_numbers(model: Llama) -> Iterator[None]:
    """A model whose values are no numbers."""
    projection = model.model.layers[0].self_attn.v_proj
    handle = projection.register_forward_hook(lambda _, __, out: torch.full_like(out, torch.nan))
    try:
        yield
    finally:
        handle.remove()


@pytest.mark.parametrize("how", ["end", "abort while reading", "preempt while reading", "samples that wait"])
def test_what_is_no_number_stays_with_its_request_however_it_ends(tokenizer: Tokenizer, how: str) -> None:
    """In bf16, where rows are gathered whole blocks at a time."""
    model = tiny_model(tokenizer).bfloat16()
    # several, so that they are gathered, and of a block each, the rest of which is hidden
    requests = [ask(tokenizer, first, 5 + first, 6) for first in range(5)]
    expected = [alone(model, tokenizer, request).ids for request in requests]
    chunk = 24 if "reading" in how else 2_048
    engine = Engine(model, tokenizer, cache_tokens=96, chunk_tokens=chunk, max_running=2)
    with no_numbers(model):
        number = engine.add_request(ask(tokenizer, 10, 45, 20, samples=4 if "samples" in how else 1))
        outputs = [output for _ in range(1 if "reading" in how else 3) for output in engine.step()]
        if "preempt" in how:
            engine._scheduler.preempt_all()
        # it ends by itself as soon as something is to be chosen
        assert [output.error is None for output in outputs] == [] if "reading" in how else [False]
        engine.abort(number)
    assert engine.load().cache_used == 0
    numbers = [engine.add_request(request) for request in requests]
    found = {completion.request: completion for completion in finish(engine)}
    assert all(
        torch.isfinite(memory).all() for memory in (*engine._runner.cache.keys, *engine._runner.cache.values)
    )
    assert all(found[number].log_probability > -1e9 for number in numbers)
    assert [found[number].ids for number in numbers] == expected


@pytest.mark.parametrize("prompt_logprobs", [None, 2])
def test_a_prompt_that_is_only_read_gives_numbers_or_an_error(
    tokenizer: Tokenizer, prompt_logprobs: int | None
) -> None:
    model = tiny_model(tokenizer)
    engine = Engine(model, tokenizer)
    with no_numbers(model):
        engine.add_request(ask(tokenizer, sampling=SamplingParams(0, prompt_logprobs=prompt_logprobs)))
        (output,) = engine.step()
    assert "no numbers" in str(output.error)
    assert output.delta.prompt_logprobs == () and engine.load().cache_used == 0


def test_a_cache_that_there_is_no_memory_for_is_refused(model: Llama, tokenizer: Tokenizer) -> None:
    generator = LocalGenerator(model, tokenizer, batch_tokens=256)
    for new in (10**14, 10**30):
        huge = Request((1, 2), SamplingParams(new), beyond_context=True)
        with pytest.raises(UserError, match="no memory"):
            list(generator.generate([huge]))
        with pytest.raises(UserError, match="no memory"):
            Engine(model, tokenizer, context=new)
    # and the engine goes on with the memory that it had
    (found,) = generator.generate([ask(tokenizer)])
    assert found.ids == alone(model, tokenizer, ask(tokenizer)).ids
    assert generator.engine.cache_tokens == 256


@pytest.mark.parametrize("key", ["context", "cache_tokens", "chunk_tokens"])
def test_settings_without_a_sense_are_refused(model: Llama, tokenizer: Tokenizer, key: str) -> None:
    for value in (0, -5):
        with pytest.raises(UserError, match=key):
            Engine(model, tokenizer, **{key: value})


def test_texts_without_a_second_token_have_no_scores(model: Llama, tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode(CODE)
    generator = LocalGenerator(model, tokenizer, prefill_tokens=16)
    sequences = [ids[:17], [], ids[:5], ids[:1], [], ids[:30]]
    found = dict(generator.log_probabilities(sequences))
    assert [len(found[index]) for index in range(6)] == [16, 0, 4, 0, 0, 29]
    assert dict(generator.log_probabilities([ids[:5]]))[0] == pytest.approx(found[2], abs=1e-4)
    assert dict(generator.log_probabilities([[], []])) == {0: [], 1: []}


def test_a_loop_that_is_gone_does_not_keep_a_service_from_draining(
    model: Llama, tokenizer: Tokenizer
) -> None:
    service = EngineService(Engine(model, tokenizer), "tiny")
    loop = asyncio.new_event_loop()
    streams = [service.stream(ask(tokenizer, first, new=60)) for first in range(3)]
    for stream in streams:
        loop.run_until_complete(anext(stream))
    loop.close()

    async def main() -> None:
        await asyncio.wait_for(service.drain(), 20)
        await service.close()

    asyncio.run(main())


def test_grammars_are_compiled_from_several_threads(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests are checked in event loops, beside the engine's thread; more grammars than are kept."""
    pytest.importorskip("llguidance")
    compiler = GrammarCompiler(tokenizer)
    monkeypatch.setattr(grammar_compiler, "_CACHED", 1)

    def compile_all(start: int) -> None:
        for index in range(60):
            compiler.matcher(Grammar("regex", "a" * (1 + (start * 7 + index) % 23)))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(compile_all, range(4)))
