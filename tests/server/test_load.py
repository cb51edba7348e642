"""Many clients that come and go: each is answered or refused rightly, and nothing is left behind.

The long form with a real model is ``benchmarks/server_load.py``; this is the same with a tiny one.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from engine_models import tiny_model
from live_server import Live, live

from codecascade.generation.engine.engine import Engine
from codecascade.generation.engine.scheduler import Scheduler
from codecascade.generation.engine.service import EngineService
from codecascade.server.settings import Limits, ServerSettings
from codecascade.tokens.tokenizer import Tokenizer

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import server_load


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
    assert seen.first_token and not server.server.server_state.tasks


def test_a_leak_is_seen(server: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the test above would say of an engine that keeps the blocks of those who go."""
    monkeypatch.setattr(server_load, "_SETTLING", 0.2)
    monkeypatch.setattr(Scheduler, "_give_back", lambda self, sequence: None)
    seen = load(server, 0.5)
    assert any("something is left" in fault for fault in seen.wrong)
