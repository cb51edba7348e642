"""Many clients at once: is every request answered or refused as it should be, and does the server keep anything?

    python benchmarks/server_load.py smollm2-135m-instruct                      # 200 clients, 120 seconds
    python benchmarks/server_load.py MODEL --clients 20 --seconds 5

Starts ``codecascade serve MODEL`` (further options are its own) and sends it requests of all kinds until the time is
over: streamed and whole, of the protocols of OpenAI, llama.cpp and Ollama, with prompts that share their beginnings.
Some are wrong, some are too long, and a quarter of the clients go before their answer is complete: while they send
their request, while they wait, or in the middle of a stream.

Before the clock starts, prompts fill the cache, whose memory a processor takes as it is first used. Then prompts of
all sizes, and the same load for a while, let the matrix library write its code for the numbers of rows that it meets.
Each request must be answered, or refused with the status that is right for it. Afterwards nothing may run, wait, hold
a part of the cache or a file, and SIGTERM must end the process with 0. In the second half of the time the process may
not take more memory than in the first (beyond 5 % or 32 MB, for the allocator rounds).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table
from server_warming import fill_cache, meet_sizes, resident

GONE = 0.25
"""The share of clients that go before their answer is complete."""
STATES = ("while sending", "while waiting", "while reading")
_MORE, _MORE_MB = 1.05, 32.0
"""What the memory may grow from the first half of the time to the second."""
_PATIENCE = 600.0
_SETTLING = 30.0
"""Seconds after the last request in which everything must be free."""
_FILES_MORE = 8
_FILES = [path.read_text() for path in sorted(Path(__file__).parent.glob("*.py"))]


@dataclass
class Kind:
    """A kind of request.

    Attributes:
        status: of the answer, where there is room for the request.
        streams: the marks of a stream's first token and of its end; None: the answer is one object.
    """

    name: str
    address: str
    body: dict[str, Any]
    status: int = 200
    streams: tuple[str, str] | None = None


@dataclass
class Seen:
    """What the clients saw."""

    answers: Counter[tuple[str, str]] = field(default_factory=Counter)
    first_token: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def kind_of(draw: random.Random, model: str, capabilities: dict[str, bool], context: int) -> Kind:
    """A request by chance."""
    text = draw.choice(_FILES)
    prefix = text[: draw.randrange(20, min(2000, context // 2))] + draw.choice(
        ["", "def ", "x = ", str(draw.random())]
    )
    tokens = draw.randrange(1, 48)
    openai = {"model": model, "prompt": prefix, "max_tokens": tokens}
    kinds = [
        Kind("completion", "/v1/completions", openai),
        Kind(
            "completion, streamed", "/v1/completions", openai | {"stream": True}, 200, ('"text":"', "[DONE]")
        ),
        Kind("two samples", "/v1/completions", openai | {"n": 2, "temperature": 1.0, "top_k": 40}),
        Kind("llama.cpp", "/completion", {"prompt": prefix, "n_predict": tokens, "stop": ["\n\n"]}),
        Kind(
            "ollama, streamed",
            "/api/generate",
            {"model": model, "prompt": prefix, "raw": True, "options": {"num_predict": tokens}},
            streams=('"response":"', '"done":true'),
        ),
        Kind("wrong type", "/v1/completions", openai | {"max_tokens": "many"}, 400),
        Kind("unknown model", "/v1/completions", openai | {"model": "other"}, 404),
        Kind("too long", "/v1/completions", openai | {"prompt": [5] * (context + 1)}, 400),
    ]
    if capabilities["completion_chat"]:
        messages = [{"role": "user", "content": f"What does this do?\n{prefix}"}]
        chat = {"model": model, "messages": messages, "max_tokens": tokens, "stream": True}
        kinds.append(Kind("chat, streamed", "/v1/chat/completions", chat, 200, ('"content":"', "[DONE]")))
    if capabilities["completion_fim"]:
        gap = {"input_prefix": prefix, "input_suffix": text[2000:2600], "n_predict": tokens}
        kinds.append(Kind("infill", "/infill", gap))
        kinds.append(Kind("infill, warming", "/infill", gap | {"n_predict": 0}))
    return draw.choice(kinds)


async def ask(client: httpx.AsyncClient, kind: Kind, seen: Seen, leaves: str, patience: float) -> None:
    """Send one request.

    Args:
        leaves: the state in which the client closes the connection, if the request ever is in it; "" for never.
        patience: seconds that it waits in that state.
    """
    started = time.perf_counter()
    outcome = "gone " + leaves
    try:
        async with asyncio.timeout(patience if leaves == "while waiting" else None):
            async with client.stream("POST", kind.address, json=kind.body) as response:
                text, first = "", False
                async for part in response.aiter_text():
                    text += part
                    if kind.streams and not first and kind.streams[0] in text:
                        first = True
                        seen.first_token.append(time.perf_counter() - started)
                    if first and leaves == "while reading":
                        await asyncio.sleep(patience / 10)
                        return
            outcome = str(response.status_code)
            seen.wrong += _faults(kind, response.status_code, text)
            if response.status_code == 200:
                seen.whole.append(time.perf_counter() - started)
    except TimeoutError:
        pass
    except httpx.HTTPError as error:
        outcome = type(error).__name__
        seen.wrong.append(f"{kind.name}: {outcome}: {error}")
    finally:
        seen.answers[kind.name, outcome] += 1


async def send_a_part(url: str, kind: Kind, seen: Seen, patience: float) -> None:
    """Close the connection in the middle of a request's body."""
    address = httpx.URL(url)
    body = json.dumps(kind.body).encode()
    head = f"POST {kind.address} HTTP/1.1\r\nHost: {address.netloc.decode()}\r\nContent-Length: {len(body)}\r\n\r\n"
    _, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(head.encode() + body[: len(body) // 2])
    await writer.drain()
    await asyncio.sleep(patience / 10)
    writer.close()
    seen.answers[kind.name, "gone " + STATES[0]] += 1


def _faults(kind: Kind, status: int, text: str) -> list[str]:
    if status == 429:
        return []
    if status != kind.status:
        return [f"{kind.name}: {status} instead of {kind.status}: {text[:200]}"]
    if status == 200 and kind.streams is not None:
        return [] if kind.streams[1] in text else [f"{kind.name}: the stream broke off: {text[-200:]}"]
    try:
        json.loads(text)
    except ValueError:
        return [f"{kind.name}: no JSON: {text[:200]}"]
    return []


async def user(url: str, number: int, end: float, seen: Seen, known: dict[str, Any], patience: float) -> None:
    """One client, which asks again and again, on one connection as long as it doesn't go."""
    draw = random.Random(number)
    async with httpx.AsyncClient(base_url=url, timeout=_PATIENCE) as client:
        while time.perf_counter() < end:
            kind = kind_of(draw, known["id"], known["capabilities"], known["max_model_len"])
            leaves = draw.choice(STATES) if draw.random() < GONE else ""
            waits = draw.expovariate(1 / patience)
            if leaves == STATES[0]:
                await send_a_part(url, kind, seen, waits)
            else:
                await ask(client, kind, seen, leaves, waits)


async def watch(pid: int, seconds: float, found: list[float]) -> None:
    """Note the process's memory in MB, forty times."""
    for _ in range(40):
        await asyncio.sleep(seconds / 40)
        found.append(resident(pid))


async def load(
    url: str, pid: int, clients: int, seconds: float, seen: Seen, patience: float = 2.0
) -> list[float]:
    """All clients; returns the memory along the way.

    Args:
        patience: seconds after which one that goes does so, on average.
    """
    async with httpx.AsyncClient(base_url=url, timeout=_PATIENCE) as client:
        known = (await client.get("/v1/models")).json()["data"][0]
        memory: list[float] = []
        files = open_files(pid)
        watcher = asyncio.create_task(watch(pid, seconds, memory))
        end = time.perf_counter() + seconds
        await asyncio.gather(*(user(url, number, end, seen, known, patience) for number in range(clients)))
        await watcher
        left = {"no answer": 1.0}
        settled = time.perf_counter() + _SETTLING
        while time.perf_counter() < settled:
            figures = metrics((await client.get("/metrics")).text)
            names = ("requests_processing", "requests_deferred", "kv_cache_usage_ratio")
            left = {name: figures[f"llamacpp:{name}"] for name in names if figures[f"llamacpp:{name}"]}
            # the engine's library may have opened some of its own
            if (more := open_files(pid) - files) > _FILES_MORE:
                left["open files"] = more
            if not left:
                break
            await asyncio.sleep(0.1)
        if left:
            seen.wrong.append(f"something is left: {left}")
        answer = await client.post("/v1/completions", json={"prompt": "x = ", "max_tokens": 2})
        if answer.status_code != 200:
            seen.wrong.append(f"after all that: {answer.status_code} {answer.text[:200]}")
    return memory


def metrics(text: str) -> dict[str, float]:
    """The figures of ``/metrics`` that have no labels."""
    return {name: float(value) for name, value in re.findall(r"^([\w:]+) (\S+)$", text, re.MULTILINE)}


def open_files(pid: int) -> int:
    """How many files and sockets a process has open."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def report(seen: Seen, memory: list[float], tokens: float, seconds: float) -> list[Table | str]:
    """What is printed."""
    table = Table("request", "answer", "number")
    for (name, outcome), count in sorted(seen.answers.items()):
        table.add_row(name, outcome, f"{count:,}")
    shown: list[Table | str] = [table]
    for name, found in (
        ("to the first token of a stream", seen.first_token),
        ("to a whole answer", seen.whole),
    ):
        if len(found) > 1:
            cut = statistics.quantiles(found, n=20)
            shown.append(
                f"seconds {name}: p50 {statistics.median(found):.2f}, p95 {cut[-1]:.2f} ({len(found):,})"
            )
    shown.append(f"{tokens / seconds:,.0f} tokens/s written over {seconds:.0f} s")
    first, second = halves(memory)
    shown.append(
        f"memory, MB (median): first half {first:,.0f}, second half {second:,.0f}; at most {max(memory):,.0f}"
    )
    shown.append("memory along the way: " + " ".join(f"{value:,.0f}" for value in memory[::4]))
    return shown


def halves(memory: list[float]) -> tuple[float, float]:
    """The medians of the memory in both halves of the time; what a pass takes for a moment is no growth."""
    middle = len(memory) // 2
    return statistics.median(memory[:middle]), statistics.median(memory[middle:])


def main() -> int:
    """Run the load against a server of its own; 1 if something went wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="a model folder, a GGUF file or the name of a model on the hub")
    parser.add_argument("--clients", type=int, default=200, metavar="N")
    parser.add_argument("--seconds", type=float, default=120, metavar="T")
    parser.add_argument("--warm-up", type=float, default=30, metavar="T", help="seconds of load before that")
    arguments, options = parser.parse_known_args()
    command = [sys.executable, "-m", "codecascade", "serve", arguments.model, "--port", "0", *options]
    console, seen = Console(soft_wrap=True), Seen()
    with (
        tempfile.TemporaryDirectory() as folder,
        (log := Path(folder, "log")).open("w") as errors,
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors) as server,
    ):
        try:
            url = _address(server, log)
            filled = asyncio.run(fill_cache(url, server.pid))
            console.print(f"memory, MB: {filled[0]:,.0f} at first, {filled[-1]:,.0f} with a full cache")
            asyncio.run(meet_sizes(url))
            console.print(f"{resident(server.pid):,.0f} MB after prompts of all sizes")
            if arguments.warm_up:
                asyncio.run(load(url, server.pid, arguments.clients, arguments.warm_up, Seen()))
            before = metrics(httpx.get(f"{url}/metrics").text)["llamacpp:tokens_predicted_total"]
            started = time.perf_counter()
            memory = asyncio.run(load(url, server.pid, arguments.clients, arguments.seconds, seen))
            seconds = time.perf_counter() - started
            tokens = metrics(httpx.get(f"{url}/metrics").text)["llamacpp:tokens_predicted_total"] - before
            server.send_signal(signal.SIGTERM)
            if server.wait(60) != 0:
                seen.wrong.append(f"SIGTERM: the process ended with {server.returncode}")
        finally:
            server.kill()
        text = log.read_text()
    first, second = halves(memory)
    if second > max(first * _MORE, first + _MORE_MB):
        seen.wrong.append(f"the memory grows: {first:,.0f} MB, then {second:,.0f} MB")
    if "Traceback" in text:
        seen.wrong.append("the log has a traceback: " + text[text.index("Traceback") :][:2000])
    for part in report(seen, memory, tokens, seconds):
        console.print(part)
    for fault in seen.wrong[:20]:
        console.print(f"WRONG: {fault}", markup=False)
    console.print(f"{len(seen.wrong)} faults in {sum(seen.answers.values()):,} requests")
    return int(bool(seen.wrong))


def _address(server: subprocess.Popen[bytes], log: Path) -> str:
    for _ in range(1200):
        if found := re.search(r"is served at (\S+)", log.read_text()):
            return found[1]
        if server.poll() is not None:
            raise SystemExit(f"the server ended with {server.returncode}:\n{log.read_text()}")
        time.sleep(0.1)
    raise SystemExit("the server was not ready within two minutes")


if __name__ == "__main__":
    sys.exit(main())
