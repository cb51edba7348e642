"""How many tokens a pass should have on a processor: what a shorter one costs a prompt, and gains whoever waits.

    python benchmarks/chunks.py                                   # smollm2-135m-instruct, prompts of 1,024 and 4,096
    python benchmarks/chunks.py MODEL --tokens 1024 --chunks 128 256 512 --rounds 3

A cancel acts, and another text goes on, between two passes, so the longest pass is the time until a cancel acts.
Sizes take turns in each round, and the median over rounds is shown. CPU time counts all threads: it tells on a busy
machine, too, what the seconds tell on a quiet one.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections import defaultdict

import torch
from rich.console import Console
from rich.table import Table

from codecascade.generation.engine.engine import Engine
from codecascade.generation.engine.weights.held import load_model
from codecascade.generation.requests import Request, SamplingParams


def prefill(engine: Engine, prompt: tuple[int, ...]) -> tuple[float, float, float]:
    """Read a prompt: seconds, CPU seconds, and the seconds of the longest pass."""
    engine.add_request(Request(prompt, SamplingParams(1), stop_ids=frozenset()))
    start, cpu, longest = time.perf_counter(), time.process_time(), 0.0
    while engine.has_work:
        before = time.perf_counter()
        engine.step()
        longest = max(longest, time.perf_counter() - before)
    return time.perf_counter() - start, time.process_time() - cpu, longest


def main() -> None:
    """Measure each size with prompts that no cache has seen, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", nargs="?", default="smollm2-135m-instruct")
    parser.add_argument("--tokens", type=int, nargs="+", default=[1024, 4096])
    parser.add_argument("--chunks", type=int, nargs="+", default=[128, 256, 512, 1024, 2048])
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    loaded, held = load_model(arguments.model, torch.device("cpu"))
    draw, words = random.Random(0), range(100, loaded.config.vocab_size - 100)
    found: dict[tuple[int, int], list[tuple[float, float, float]]] = defaultdict(list)
    engines = {size: Engine(loaded.model, loaded.tokenizer, chunk_tokens=size) for size in arguments.chunks}
    for number in range(arguments.rounds + 1):
        for tokens in arguments.tokens:
            for size in arguments.chunks if number % 2 else arguments.chunks[::-1]:
                # the first round warms up
                prompt = tuple(draw.choices(words, k=tokens if number else min(tokens, 2 * size)))
                times = prefill(engines[size], prompt)
                if number:
                    found[tokens, size].append(times)
    table = Table(title=f"{arguments.model}, {held}; {torch.get_num_threads()} threads")
    for column in ("prompt", "tokens of a pass", "tokens/s", "CPU ms a token", "longest pass, s"):
        table.add_column(column, justify="right")
    for (tokens, size), rounds in found.items():
        seconds, cpu, longest = (statistics.median(values) for values in zip(*rounds, strict=True))
        table.add_row(
            f"{tokens:,}",
            f"{size:,}",
            f"{tokens / seconds:,.0f}",
            f"{1000 * cpu / tokens:.2f}",
            f"{longest:.2f}",
        )
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
