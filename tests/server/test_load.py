"""Many clients that come and go: each is answered or refused rightly, and nothing is left behind.

The long form with a real model is ``benchmarks/server_load.py``; this is the same with a tiny one.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from engine_models import tiny_model
from live_server import Live, live, soon

from codecascade.generation.engine.engine import Engine
from codecascade.generation.engine.scheduler import Scheduler
from codecascade.generation.engine.service import EngineService
from codecascade.server.settings import Limits, ServerSettings
from codecascade.tokens.tokenizer import Tokenizer

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import server_load
import server_warming


@pytest.fixture
def server(tokenizer: Tokenizer) -> Iterator[Live]:
    """With room for a quarter of the clients, and a cache for fewer."""
    settings = ServerSettings(names=("tiny",), limits=Limits(clients=10))
    model = tiny_model(tokenizer, context=256)

    def make() -> EngineService:
        engine = Engine(model, tokenizer, chunk_tokens=64, cache_tokens=2048, max_waiting=8, speculate=True)
        return EngineService(engine, "tiny")

    with live(make, settings) as server:
        yield server


def load(server: Live, seconds: float) -> server_load.Seen:
    seen = server_load.Seen()
    asyncio.run(server_load.load(server.url, os.getpid(), 40, seconds, seen, patience=0.2))
    return seen


def test_forty_clients_that_come_and_go(server: Live) -> None:
    seen = load(server, 3)
    assert not seen.wrong, seen.wrong[:5]
    outcomes = {outcome for _, outcome in seen.answers}
    assert {"200", "400"} <= outcomes and any(outcome.startswith("gone") for outcome in outcomes)
    assert seen.first_token and soon(lambda: not server.server.server_state.tasks)


def test_a_cache_that_is_full_takes_no_more_memory(server: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prompts are read until they add nothing."""
    sizes = iter([100.0, 150.0, 200.0, 240.0, 241.0, 242.0])
    monkeypatch.setattr(server_warming, "resident", lambda pid: next(sizes))
    found = asyncio.run(server_warming.fill_cache(server.url, os.getpid()))
    assert found == [100.0, 150.0, 200.0, 240.0, 241.0, 242.0]
    assert soon(lambda: server.generator.load().prompt_tokens >= 5 * 255)


def test_prompts_of_all_sizes(server: Live) -> None:
    sizes = asyncio.run(server_warming.meet_sizes(server.url))
    assert sizes[:17] == [*range(1, 17), 18] and 224 <= sizes[-1] < 256
    assert soon(lambda: server.generator.load().prompt_tokens >= sum(sizes))


def test_nothing_is_kept_of_a_request(server: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the number of our objects: what is kept of each request would be seen, however small it is."""
    # else the event loop keeps up to a hundred timers that were cancelled, and what they hold
    monkeypatch.setattr(asyncio.base_events, "_MIN_SCHEDULED_TIMER_HANDLES", 0)
    # the prefix cache and the guesses learn other texts, as far as they have room
    greedy: dict[str, Any] = {"prompt": "x = ", "max_tokens": 4, "temperature": 0}
    bodies: list[tuple[str, dict[str, Any]]] = [
        ("/v1/completions", greedy | {"n": 2, "logprobs": 2}),
        ("/v1/completions", greedy | {"stream": True}),
        ("/infill", {"input_prefix": "def f(", "input_suffix": "):\n    pass\n", "n_predict": 4}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}], **greedy}),
        ("/v1/completions", {"prompt": "x = ", "max_tokens": "many"}),
    ]

    def objects() -> int:
        assert soon(lambda: server.generator.load().running == 0)
        gc.collect()
        return sum(str(type(each)).startswith("<class 'codecascade") for each in gc.get_objects())

    def ask(times: int) -> None:
        for _ in range(times):
            for path, body in bodies:
                assert server.post(path, body).status_code in (200, 400)

    ask(10)
    before = objects()
    ask(20)
    assert objects() - before < 20


def test_a_leak_is_seen(server: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the test above would say of an engine that keeps the blocks of those who go."""
    monkeypatch.setattr(server_load, "_SETTLING", 0.2)
    monkeypatch.setattr(Scheduler, "_give_back", lambda self, sequence: None)
    seen = load(server, 0.5)
    assert any("something is left" in fault for fault in seen.wrong)
