"""What a server takes memory for only once, taken before ``server_load.py`` starts its clock.

The cache's memory is a processor's as it is first used. oneDNN writes code for each number of rows that a product has
for the first time, and keeps it: 0.3 to 1 MB for each, in each of a layer's products.
"""

from __future__ import annotations

import random
import re
from pathlib import Path

import httpx

from codecascade.generation.engine.weights.packed import padded_rows

_PATIENCE = 600.0
_FILLING, _FILLED_MB = 2048, 8.0
"""Tokens of a prompt that fills the cache; it is full once two such prompts take less memory than this."""
_MOST_PROMPTS = 200
_PASS = 512
"""Tokens of a server's pass on a processor, at most."""
_TEXT = Path(__file__).read_text()


async def fill_cache(url: str, pid: int) -> list[float]:
    """Read prompts that begin differently until the cache has been used once; returns the memory after each in MB."""
    draw, memory = random.Random(0), [resident(pid)]
    async with httpx.AsyncClient(base_url=url, timeout=_PATIENCE) as client:
        words, context = await _words_and_context(client)
        while len(memory) < 3 or memory[-1] - memory[-3] > _FILLED_MB:
            await _read(client, draw.choices(words, k=min(_FILLING, context - 1)))
            if len(memory) > _MOST_PROMPTS:
                raise SystemExit("the cache could not be filled")
            memory.append(resident(pid))
    return memory


async def meet_sizes(url: str) -> list[int]:
    """Read a prompt of each number of tokens that a pass may be padded to; returns these numbers."""
    draw = random.Random(1)
    async with httpx.AsyncClient(base_url=url, timeout=_PATIENCE) as client:
        words, context = await _words_and_context(client)
        sizes = sorted({padded_rows(count) for count in range(1, min(_PASS, context - 1) + 1)})
        sizes = [size for size in sizes if size < context]
        for size in sizes:
            await _read(client, draw.choices(words, k=size))
    return sizes


async def _words_and_context(client: httpx.AsyncClient) -> tuple[list[int], int]:
    """Ids of tokens, and how many the context holds."""
    known = (await client.get("/v1/models")).json()["data"][0]
    answer = await client.post("/tokenize", json={"content": _TEXT})
    return answer.json()["tokens"], known["max_model_len"]


async def _read(client: httpx.AsyncClient, prompt: list[int]) -> None:
    """Let the server read a prompt and write nothing."""
    answer = await client.post("/completion", json={"prompt": prompt, "n_predict": 0})
    if answer.status_code != 200:
        raise SystemExit(f"a prompt could not be read: {answer.status_code} {answer.text[:200]}")


def resident(pid: int) -> float:
    """A process's memory in MB."""
    found = re.search(r"^VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0
