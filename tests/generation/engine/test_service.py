"""The service between an engine's thread and event loops."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace

import pytest
import torch
from engine_models import CODE, NEVER, beginning, recite
from slow_grammars import slow_grammars

from codecascade.generation.engine.engine import Engine
from codecascade.generation.engine.service import EngineService
from codecascade.generation.grammar import Grammar
from codecascade.generation.requests import Request, SamplingParams
from codecascade.generation.streaming import Delta, QueueFull, StreamingGenerator
from codecascade.ground.errors import RunFailed, UserError
from codecascade.model.llama import Llama
from codecascade.tokens.tokenizer import Tokenizer


class Gate:
    """Lets a model's passes through one by one, or all."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.passes = 0
        self.broken: Exception | None = None
        self._open = threading.Semaphore(0)
        self._free = False
        self._handle = model.register_forward_pre_hook(self._wait)

    def _wait(self, *_: object) -> None:
        if not self._free:
            assert self._open.acquire(timeout=120)
        self.passes += 1
        if self.broken is not None:
            raise self.broken

    def let(self, passes: int) -> None:
        self._open.release(passes)

    def free(self) -> None:
        self._free = True
        self._open.release(1)

    def remove(self) -> None:
        self.free()
        self._handle.remove()


@contextmanager
def gate(model: torch.nn.Module) -> Iterator[Gate]:
    found = Gate(model)
    try:
        yield found
    finally:
        found.remove()


@asynccontextmanager
async def served(engine: Engine) -> AsyncIterator[EngineService]:
    service = EngineService(engine, "tiny")
    try:
        yield service
    finally:
        await service.close()


async def until(condition: object) -> None:
    end = time.monotonic() + 120
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end
        await asyncio.sleep(0.002)


async def collect(service: StreamingGenerator, request: Request) -> list[Delta]:
    return [delta async for delta in service.stream(request)]


def ask(tokenizer: Tokenizer, tokens: int = 4, new: int = 12, **settings: object) -> Request:
    return beginning(tokenizer, tokens, sampling=SamplingParams(new), stop_ids=NEVER, **settings)


@pytest.fixture
def reciting(model: Llama, tokenizer: Tokenizer) -> torch.nn.Module:
    return recite(model, tokenizer).model


def idle(engine: Engine) -> bool:
    return not engine.has_work and engine.load().cache_used == 0


def test_many_are_served_at_once_and_each_gets_its_text(model: Llama, tokenizer: Tokenizer) -> None:
    async def main() -> None:
        async with served(Engine(model, tokenizer, cache_tokens=512, speculate=True)) as service:
            assert (service.name, service.context_length) == ("tiny", 128)
            requests = [ask(tokenizer, 3 + n, samples=1 + n % 3) for n in range(12)]
            for request, deltas in zip(
                requests, await asyncio.gather(*(collect(service, one) for one in requests)), strict=True
            ):
                engine = Engine(model, tokenizer)
                engine.add_request(request)
                expected = {}
                while engine.has_work:
                    for output in engine.step():
                        if output.completion is not None:
                            expected[output.completion.sample] = output.completion
                assert len(expected) == request.samples
                for sample, whole in expected.items():
                    own = [delta for delta in deltas if delta.sample == sample]
                    assert "".join(delta.text for delta in own) == whole.text
                    assert sum((delta.ids for delta in own), ()) == whole.ids
                    assert [delta.finish_reason for delta in own] == [None] * (len(own) - 1) + ["length"]
                    usage = own[-1].usage
                    assert (usage is not None and own[0].usage is None) or len(own) == 1
                    assert (usage.prompt_tokens, usage.completion_tokens) == (len(request.ids), 12)
                    assert min(usage.queue_seconds, usage.prefill_seconds, usage.decode_seconds) >= 0
            await until(lambda: idle(service._engine))
            load = service.load()
            assert load.completion_tokens == 12 * sum(request.samples for request in requests)
            assert load.prompt_tokens == sum(len(request.ids) for request in requests)
            assert load.running == load.waiting == load.cache_used == 0

    asyncio.run(main())


def test_a_prompt_that_was_read_before_is_said_to_be(reciting: torch.nn.Module, tokenizer: Tokenizer) -> None:
    async def main() -> None:
        async with served(Engine(reciting, tokenizer)) as service:
            warm = ask(tokenizer, 40, 0)
            (delta,) = await collect(service, warm)
            assert (delta.text, delta.ids, delta.finish_reason) == ("", (), "length")
            assert delta.usage is not None and delta.usage.cached_tokens == 0
            last = (await collect(service, ask(tokenizer, 40, 3)))[-1]
            assert last.usage is not None and last.usage.cached_tokens == 32
            assert service.load().cached_tokens == 32

    asyncio.run(main())


@pytest.mark.parametrize("state", ["queued", "mid-prefill", "mid-decode"])
def test_a_cancel_acts_within_one_pass(reciting: torch.nn.Module, tokenizer: Tokenizer, state: str) -> None:
    async def main() -> None:
        engine = Engine(reciting, tokenizer, chunk_tokens=8, max_running=1 if state == "queued" else 8)
        with gate(reciting) as passes:
            async with served(engine) as service:
                if state == "queued":
                    other = asyncio.create_task(collect(service, ask(tokenizer, 4, 30)))
                    await until(lambda: engine.has_work)
                task = asyncio.create_task(collect(service, ask(tokenizer, 60, 30)))
                await until(lambda: len(service._open) == 1 + (state == "queued"))
                passes.let({"queued": 2, "mid-prefill": 2, "mid-decode": 12}[state])
                await until(lambda: passes.passes == {"queued": 2, "mid-prefill": 2, "mid-decode": 12}[state])
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                passes.let(1)
                if state == "queued":
                    passes.free()
                    assert len(await other) == 30
                await until(lambda: idle(engine))
                if state != "queued":
                    assert passes.passes <= {"mid-prefill": 3, "mid-decode": 13}[state]
                await until(lambda: not service._open and not service._streams)

    asyncio.run(main())


def test_closing_the_iterator_cancels(reciting: torch.nn.Module, tokenizer: Tokenizer) -> None:
    async def main() -> None:
        engine = Engine(reciting, tokenizer)
        async with served(engine) as service:
            stream = service.stream(ask(tokenizer, 4, 100, samples=5))
            async for _ in stream:
                break
            await stream.aclose()
            await until(lambda: idle(engine))
            assert len(await collect(service, ask(tokenizer))) == 12

    asyncio.run(main())


def test_the_queue_has_an_end(reciting: torch.nn.Module, tokenizer: Tokenizer) -> None:
    async def main() -> None:
        engine = Engine(reciting, tokenizer, max_running=1, max_waiting=2)
        with gate(reciting) as passes:
            async with served(engine) as service:
                tasks = [asyncio.create_task(collect(service, ask(tokenizer))) for _ in range(9)]
                # All but the one that runs or is about to and the two that may wait: these are told at once.
                await until(lambda: sum(task.done() for task in tasks) >= 5)
                passes.free()
                results = await asyncio.gather(*tasks, return_exceptions=True)
                answered = [result for result in results if isinstance(result, list)]
                refused = [result for result in results if isinstance(result, QueueFull)]
                assert len(answered) + len(refused) == 9 and 2 <= len(answered) <= 4
                assert all(len(deltas) == 12 for deltas in answered)

    asyncio.run(main())


def test_what_cannot_be_answered_is_refused_at_once(reciting: torch.nn.Module, tokenizer: Tokenizer) -> None:
    async def main() -> None:
        async with served(Engine(reciting, tokenizer, cache_tokens=64)) as service:
            with pytest.raises(UserError, match="do not fit into the cache"):
                await collect(service, ask(tokenizer, 20, 90))
            with pytest.raises(UserError, match="context"):
                await collect(service, Request(tuple(tokenizer.encode(CODE * 9)), SamplingParams(0)))
            assert not service._open

    asyncio.run(main())


def test_a_failed_pass_ends_its_requests_and_the_engine_goes_on(model: Llama, tokenizer: Tokenizer) -> None:
    async def main() -> None:
        engine = Engine(model, tokenizer, max_running=2)
        with gate(model) as passes:
            async with served(engine) as service:
                first = [asyncio.create_task(collect(service, ask(tokenizer, 30, samples=n))) for n in (1, 2)]
                await until(lambda: len(service._open) == 2)
                passes.let(3)
                await until(lambda: passes.passes == 3)
                later = asyncio.create_task(collect(service, ask(tokenizer, 30)))
                await until(lambda: len(service._open) == 3)
                passes.broken = ValueError("no such kernel")
                passes.let(1)
                for task in first:
                    with pytest.raises(RunFailed, match="no such kernel"):
                        await task
                    passes.let(1)
                passes.broken = None
                passes.free()
                try:
                    deltas = await later
                except RunFailed:
                    deltas = await collect(service, ask(tokenizer, 30))
                engine_alone = Engine(model, tokenizer)
                engine_alone.add_request(ask(tokenizer, 30))
                expected = []
                while engine_alone.has_work:
                    expected += [token for output in engine_alone.step() for token in output.delta.ids]
                assert [token for delta in deltas for token in delta.ids] == expected
                await until(lambda: idle(engine))

    asyncio.run(main())


def test_drain_waits_and_close_does_not(reciting: torch.nn.Module, tokenizer: Tokenizer) -> None:
    async def main() -> None:
        with gate(reciting) as passes:
            service = EngineService(Engine(reciting, tokenizer), "tiny")
            task = asyncio.create_task(collect(service, ask(tokenizer)))
            await until(lambda: service._open)
            drained = asyncio.create_task(service.drain())
            await asyncio.sleep(0.05)
            assert not drained.done()
            with pytest.raises(QueueFull, match="shutting down"):
                await collect(service, ask(tokenizer))
            passes.free()
            await drained
            assert len(await task) == 12
            await service.close()
            with pytest.raises(QueueFull, match="shut down"):
                await collect(service, ask(tokenizer))
        with gate(reciting) as passes:
            service = EngineService(Engine(reciting, tokenizer), "tiny")
            task = asyncio.create_task(collect(service, ask(tokenizer, 4, 100)))
            passes.let(3)
            await until(lambda: passes.passes == 3)
            closing = asyncio.create_task(service.close())
            await asyncio.sleep(0.01)
            passes.let(2)
            await closing
            with pytest.raises(RunFailed, match="shut down"):
                await task
            assert not service._thread.is_alive() and service._engine.cache_tokens == 16

    asyncio.run(main())


def test_a_loop_that_is_gone_does_not_hold_blocks(reciting: torch.nn.Module, tokenizer: Tokenizer) -> None:
    engine = Engine(reciting, tokenizer)
    service = EngineService(engine, "tiny")
    loop = asyncio.new_event_loop()
    stream = service.stream(ask(tokenizer, 4, 100))
    loop.run_until_complete(anext(stream))
    loop.close()

    async def main() -> None:
        await until(lambda: idle(engine))
        assert len(await collect(service, ask(tokenizer))) == 12
        await service.close()

    asyncio.run(main())


def test_a_slow_grammar_holds_nobody_up(
    reciting: torch.nn.Module, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready = slow_grammars(monkeypatch)

    async def main() -> None:
        engine = Engine(reciting, tokenizer)
        request = replace(ask(tokenizer), grammar=Grammar("regex", "[a-c]{3}"))
        async with served(engine) as service:
            waiting = asyncio.create_task(collect(service, request))
            cancelled = asyncio.create_task(collect(service, request))
            assert len(await collect(service, ask(tokenizer))) == 12
            assert not waiting.done()
            cancelled.cancel()
            with pytest.raises(asyncio.CancelledError):
                await cancelled
            ready.set()
            text = "".join(delta.text for delta in await waiting)
            assert len(text) == 3 and set(text) <= set("abc")
            with pytest.raises(UserError, match="grammar regex"):
                await collect(service, replace(request, grammar=Grammar("regex", "(a")))
            await until(lambda: idle(engine))

    asyncio.run(main())
