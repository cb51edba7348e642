"""Gateways for tests, and what a generator answers, read to its end."""

from __future__ import annotations

import asyncio
from typing import Any

from vllm_server import VllmServer

from codecascade.generation.gateway.gateway import Gateway
from codecascade.generation.requests import Request, SamplingParams
from codecascade.generation.streaming import Delta, StreamingGenerator

GREEDY = SamplingParams(10)


def gateway(server: VllmServer, **changed: Any) -> Gateway:
    settings = {"first_wait": 0.01, "timeout": 60.0, "silence": 60.0, **changed}
    return Gateway(server.url, "small", server.tokenizer, **settings)


def ask(generator: StreamingGenerator, request: Request) -> list[Delta]:
    async def read() -> list[Delta]:
        found = [delta async for delta in generator.stream(request)]
        await generator.close()
        return found

    return asyncio.run(read())


def texts(deltas: list[Delta]) -> list[tuple[str, tuple[int, ...], str | None, Any]]:
    """Of each sample the text, the tokens and how it ended."""
    found = []
    for sample in range(max(delta.sample for delta in deltas) + 1):
        own = [delta for delta in deltas if delta.sample == sample]
        assert [delta.finish_reason is None for delta in own] == [True] * (len(own) - 1) + [False]
        assert own[-1].usage is not None
        ids = tuple(token for delta in own for token in delta.ids)
        ending = (own[-1].finish_reason, own[-1].stopped_by)
        found.append(("".join(delta.text for delta in own), ids, *ending))
    return found
