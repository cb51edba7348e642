"""Many clients at once: is every request answered or refused as it should be, and does the server keep anything?

    python benchmarks/server_load.py smollm2-135m-instruct                      # 200 clients, 120 seconds
    python benchmarks/server_load.py MODEL --clients 20 --seconds 5

Starts ``codecascade serve MODEL`` (further options are its own) and sends it requests of all kinds until the time is
over: streamed and whole, of the protocols of OpenAI, llama.cpp and Ollama, with prompts that share their beginnings.
Some are wrong, some are too long, and a quarter of the clients go before their answer is complete. Then nothing may
run, wait or hold a part of the cache any more, and SIGTERM must end the process with 0. The memory is shown as it was
along the way: the cache takes its own as it is first used, and nothing else may grow.
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

GONE = 0.25
"""The share of clients that go before their answer is complete."""
_PATIENCE = 600.0
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


async def ask(client: httpx.AsyncClient, kind: Kind, seen: Seen, patience: float | None) -> None:
    """Send one request; with ``patience`` seconds, close the connection once they are over."""
    started = time.perf_counter()
    outcome = "gone"
    try:
        async with asyncio.timeout(patience):
            async with client.stream("POST", kind.address, json=kind.body) as response:
                text = ""
                async for part in response.aiter_text():
                    if not text and kind.streams and response.status_code == 200:
                        seen.first_token.append(time.perf_counter() - started)
                    text += part
            outcome = str(response.status_code)
            seen.wrong += _faults(kind, response.status_code, text)
            if response.status_code == 200:
                seen.whole.append(time.perf_counter() - started)
    except TimeoutError:
        pass
    except httpx.HTTPError as error:
        outcome = type(error).__name__
        seen.wrong.append(f"{kind.name}: {outcome}: {error}")
    seen.answers[kind.name, outcome] += 1


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


async def user(url: str, number: int, end: float, seen: Seen, model: str, known: dict[str, Any]) -> None:
    """One client, which asks again and again, on one connection as long as it doesn't go."""
    draw = random.Random(number)
    async with httpx.AsyncClient(base_url=url, timeout=_PATIENCE) as client:
        while time.perf_counter() < end:
            kind = kind_of(draw, model, known["capabilities"], known["max_model_len"])
            patience = draw.expovariate(0.5) if draw.random() < GONE else None
            await ask(client, kind, seen, patience)


async def watch(pid: int, every: float, found: list[float]) -> None:
    """Note the process's memory in MB."""
    while True:
        found.append(resident(pid))
        await asyncio.sleep(every)


async def load(url: str, pid: int, clients: int, seconds: float, seen: Seen) -> list[float]:
    """All clients; returns the memory along the way."""
    async with httpx.AsyncClient(base_url=url, timeout=_PATIENCE) as client:
        known = (await client.get("/v1/models")).json()["data"][0]
        memory: list[float] = []
        watcher = asyncio.create_task(watch(pid, seconds / 8, memory))
        end = time.perf_counter() + seconds
        await asyncio.gather(*(user(url, number, end, seen, known["id"], known) for number in range(clients)))
        watcher.cancel()
        left = {"no answer": 1.0}
        for _ in range(300):
            figures = metrics((await client.get("/metrics")).text)
            names = ("requests_processing", "requests_deferred", "kv_cache_usage_ratio")
            left = {name: figures[f"llamacpp:{name}"] for name in names if figures[f"llamacpp:{name}"]}
            if not left:
                break
            await asyncio.sleep(0.1)
        if left:
            seen.wrong.append(f"something is left: {left}")
        answer = await client.post("/v1/completions", json={"prompt": "x = ", "max_tokens": 2})
        if answer.status_code != 200:
            seen.wrong.append(f"after all that: {answer.status_code} {answer.text[:200]}")
    return [*memory, resident(pid)]


def metrics(text: str) -> dict[str, float]:
    """The figures of ``/metrics`` that have no labels."""
    return {name: float(value) for name, value in re.findall(r"^([\w:]+) (\S+)$", text, re.MULTILINE)}


def resident(pid: int) -> float:
    """A process's memory in MB."""
    found = re.search(r"^VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0


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
    shown.append("memory, MB: " + " ".join(f"{value:,.0f}" for value in memory))
    return shown


def main() -> int:
    """Run the load against a server of its own; 1 if something went wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="a model folder, a GGUF file or the name of a model on the hub")
    parser.add_argument("--clients", type=int, default=200, metavar="N")
    parser.add_argument("--seconds", type=float, default=120, metavar="T")
    arguments, options = parser.parse_known_args()
    command = [
        sys.executable,
        "/tmp/clients_smallcache.py",
        "serve",
        arguments.model,
        "--port",
        "0",
        *options,
    ]
    console, seen = Console(soft_wrap=True), Seen()
    log = Path(tempfile.mkstemp(suffix=".log")[1])
    with (
        log.open("w") as errors,
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors) as server,
    ):
        try:
            url = _address(server, log)
            started = time.perf_counter()
            memory = asyncio.run(load(url, server.pid, arguments.clients, arguments.seconds, seen))
            seconds = time.perf_counter() - started
            tokens = metrics(httpx.get(f"{url}/metrics").text)["llamacpp:tokens_predicted_total"]
            server.send_signal(signal.SIGTERM)
            if server.wait(60) != 0:
                seen.wrong.append(f"SIGTERM: the process ended with {server.returncode}")
        finally:
            server.kill()
    if "Traceback" in (text := log.read_text()):
        seen.wrong.append("the log has a traceback: " + text[text.index("Traceback") :][:2000])
    log.unlink()
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
