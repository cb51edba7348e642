"""The memory of a training step: measured on this machine's CPU, beside what the simulation of ``plan`` counts.

    python benchmarks/plan_memory.py                      # 1 billion parameters on 1, 2 and 4 ranks; up to 26 GB
    python benchmarks/plan_memory.py --layers 1 --vocabulary 4000       # a smaller model, 8 GB

Every rank takes two steps on random tokens, in fp32. Measured is the resident memory of its process: the highest
value during the second step, less the value before the model was made. The simulation counts the same step on fake
tensors, as ranks on CPUs take it.
"""

from __future__ import annotations

import argparse
import multiprocessing as mp
import os
import socket
import threading
import time
from dataclasses import replace
from multiprocessing.queues import Queue
from pathlib import Path

import torch

from codecascade.ground.format import show_bytes
from codecascade.ground.memory import free_memory
from codecascade.model.config import LlamaConfig
from codecascade.model.llama import Llama
from codecascade.plan.simulation.step import simulate_step
from codecascade.training.learner import Learner
from codecascade.training.parallel.ranks import join_world
from codecascade.training.settings import TrainingSettings
from codecascade.training.stream.stream import Batch

SHAPE = LlamaConfig(
    vocab_size=32_000,
    hidden_size=2048,
    intermediate_size=5632,
    num_hidden_layers=20,
    num_attention_heads=32,
    num_key_value_heads=4,
    head_dim=64,
    max_position_embeddings=2048,
)
"""TinyLlama's, with two layers less: 1.01 billion parameters."""

OF_PARAMETER, OF_RANK = 19, 1_800_000_000
"""Bytes that all ranks together take for each parameter, and that each rank takes whatever the model's size."""


def resident() -> int:
    """Bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Peak:
    """The highest resident memory while it watches."""

    def __init__(self) -> None:
        self.bytes, self._ended = resident(), threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.002):
            self.bytes = max(self.bytes, resident())


def settings_of(ranks: int, length: int) -> TrainingSettings:
    return TrainingSettings(
        steps=10,
        learning_rate=1e-4,
        precision="fp32",
        sequence_length=length,
        batch_tokens=length * ranks,
        activation_checkpointing="full",
    )


def rank_main(rank: int, ranks: int, port: int, config: LlamaConfig, length: int, found: Queue[int]) -> None:
    """One rank: puts the bytes that its second step took."""
    if ranks > 1:
        os.environ |= {
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(ranks),
            "LOCAL_WORLD_SIZE": str(ranks),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
        }
    torch.set_num_threads(1)
    torch.manual_seed(0)
    world = join_world()
    before = resident()
    learner = Learner(Llama(config), settings_of(ranks, length), 10, world)
    tokens = torch.randint(config.vocab_size, (1, length + 1))
    batch = Batch(tokens, torch.ones(1, length), torch.zeros(1, length, dtype=torch.int32), [["random"]], {})
    learner.step(batch, 1)
    with Peak() as peak:
        learner.step(batch, 2)
    found.put(peak.bytes - before)


def measure(ranks: int, config: LlamaConfig, length: int) -> int:
    """The bytes of the rank that takes the most."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = mp.get_context("spawn")
    found: Queue[int] = context.Queue()
    processes = [
        context.Process(target=rank_main, args=(rank, ranks, port, config, length, found))
        for rank in range(ranks)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    if any(process.exitcode for process in processes):
        raise SystemExit("a rank has failed; its own message says why")
    return max(found.get() for _ in processes)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--layers", type=int, default=SHAPE.num_hidden_layers)
    parser.add_argument("--vocabulary", type=int, default=SHAPE.vocab_size, help="rows of the two tables")
    parser.add_argument("--length", type=int, default=128, help="tokens of a rank's row")
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2, 4])
    options = parser.parse_args()
    config = replace(SHAPE, num_hidden_layers=options.layers, vocab_size=options.vocabulary)
    if min(options.ranks) < 1:
        parser.error("--ranks: must be 1 or more")
    needed = OF_PARAMETER * config.num_parameters() + OF_RANK * max(options.ranks)
    if needed > free_memory():
        raise SystemExit(
            f"this takes {show_bytes(needed)}, and {show_bytes(free_memory())} are free; give fewer --layers "
            "or a smaller --vocabulary"
        )
    print(f"{config.num_parameters():,} parameters, rows of {options.length} tokens")
    print("| ranks | measured of a rank | simulated | measured / simulated | s |")
    print("| ---: | ---: | ---: | ---: | ---: |")
    for ranks in options.ranks:
        start = time.monotonic()
        measured = measure(ranks, config, options.length)
        seconds = time.monotonic() - start
        simulated = simulate_step(config, settings_of(ranks, options.length), ranks, as_gpu=False).total
        print(
            f"| {ranks} | {show_bytes(measured)} | {show_bytes(simulated)} | {measured / simulated:.2f} "
            f"| {seconds:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
