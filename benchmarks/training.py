"""Training speed beside transformers: the same shape, batch, precision and optimiser, in alternating rounds.

    python benchmarks/training.py                      # both shapes; some minutes on two quiet cores
    python benchmarks/training.py --shapes 30m --rounds 2 --steps 1

The peers are codecascade's step, transformers' Trainer, and a plain loop around transformers' LlamaForCausalLM. All
train random weights on one random batch with fused AdamW, gradient clipping at 1.0 and fp32 master weights. The
matrix products are in the precision in which the hardware is fastest. Rounds alternate, so that other processes
disturb all peers equally. Compare the ratios of one run, never the seconds of two runs.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

import torch
import transformers
from rich.console import Console
from rich.table import Table
from transformers import LlamaConfig as PeerConfig
from transformers import LlamaForCausalLM, Trainer, TrainerCallback, TrainingArguments

from codecascade.model.config import LlamaConfig
from codecascade.model.llama import Llama
from codecascade.model.precision import Precision, choose_precision, matmul_peak
from codecascade.model.presets import PRESETS
from codecascade.training.learner import Learner
from codecascade.training.parallel.ranks import World
from codecascade.training.settings import TrainingSettings
from codecascade.training.stream.stream import Batch

SHAPES = {
    "smollm2": PRESETS["smollm2-135m"],
    "30m": LlamaConfig(
        vocab_size=32_016,
        hidden_size=512,
        intermediate_size=1376,
        num_hidden_layers=5,
        num_attention_heads=8,
        num_key_value_heads=4,
        head_dim=64,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
    ),
}
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
# Takes a number of steps, and returns the seconds of each.
Peer = Callable[[int], list[float]]


def ours(config: LlamaConfig, settings: TrainingSettings, tokens: torch.Tensor) -> Peer:
    torch.manual_seed(0)
    learner = Learner(Llama(config), settings, 1000, World(0, 1, DEVICE, None))
    rows, length = len(tokens), settings.sequence_length
    batch = Batch(
        tokens, torch.ones(rows, length), torch.zeros(rows, length, dtype=torch.int32), [[]] * rows, {}
    )
    return lambda steps: [timed(lambda: learner.step(batch, 1)) for _ in range(steps)]


def plain_loop(
    config: LlamaConfig, settings: TrainingSettings, tokens: torch.Tensor, precision: Precision
) -> Peer:
    model = peer_model(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, fused=True)
    inputs = tokens[:, :-1].to(DEVICE)
    parts = torch.split(inputs, settings.micro_batch_rows)

    def step() -> None:
        for part in parts:
            with precision.autocast(DEVICE):
                loss = model(input_ids=part, labels=part).loss / len(parts)
            loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return lambda steps: [timed(step) for _ in range(steps)]


def trainer(
    config: LlamaConfig, settings: TrainingSettings, tokens: torch.Tensor, precision: Precision
) -> Peer:
    model = peer_model(config)
    examples = [{"input_ids": row, "labels": row} for row in tokens[:, :-1]]

    def run(steps: int) -> list[float]:
        clock = StepClock()
        with tempfile.TemporaryDirectory() as folder:
            arguments = TrainingArguments(
                output_dir=folder,
                max_steps=steps,
                per_device_train_batch_size=settings.micro_batch_rows,
                gradient_accumulation_steps=len(tokens) // settings.micro_batch_rows,
                learning_rate=settings.learning_rate,
                optim="adamw_torch_fused",
                bf16=precision.dtype == torch.bfloat16,
                use_cpu=DEVICE.type == "cpu",
                max_grad_norm=1.0,
                logging_strategy="no",
                save_strategy="no",
                report_to=[],
                disable_tqdm=True,
                dataloader_pin_memory=False,
            )
            Trainer(model=model, args=arguments, train_dataset=examples, callbacks=[clock]).train()
        return clock.seconds

    return run


class StepClock(TrainerCallback):  # type: ignore[misc]
    """Records the seconds of each step of Trainer, without its set-up."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._start = 0.0

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self._start = now()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.seconds.append(now() - self._start)


def peer_model(config: LlamaConfig) -> Any:
    torch.manual_seed(0)
    return LlamaForCausalLM(PeerConfig(**config.to_hf())).to(DEVICE).train()


def timed(step: Callable[[], object]) -> float:
    start = now()
    step()
    return now() - start


def now() -> float:
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def measure(shape: str, arguments: argparse.Namespace) -> dict[str, Any]:
    config, precision = SHAPES[shape], choose_precision(DEVICE, arguments.precision)
    settings = TrainingSettings(
        steps=1000,
        learning_rate=1e-4,
        sequence_length=arguments.length,
        batch_tokens=arguments.rows * arguments.length,
        micro_batch_rows=arguments.micro_batch_rows or arguments.rows,
        precision="bf16" if precision.dtype == torch.bfloat16 else "fp32",
    )
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(config.vocab_size, (arguments.rows, arguments.length + 1), generator=generator)
    peers: dict[str, Peer] = {
        "codecascade": ours(config, settings, tokens),
        "transformers loop": plain_loop(config, settings, tokens, precision),
        "transformers Trainer": trainer(config, settings, tokens, precision),
    }
    seconds: dict[str, list[list[float]]] = {name: [] for name in peers}
    peaks = []
    for turn in range(arguments.rounds):
        matmul_peak.cache_clear()
        peaks.append(matmul_peak(DEVICE, precision.dtype))
        names = list(peers) if turn % 2 == 0 else list(peers)[::-1]
        for name in names:
            # The first step warms up.
            seconds[name].append(peers[name](arguments.steps + 1)[1:])
    speeds = {
        name: [settings.batch_tokens / statistics.median(taken) for taken in rounds]
        for name, rounds in seconds.items()
    }
    best_peer = [
        max(speeds[name][turn] for name in peers if name != "codecascade") for turn in range(arguments.rounds)
    ]
    flops = config.flops_per_token(arguments.length)
    return {
        "shape": shape,
        "parameters": config.num_parameters(),
        "rows": arguments.rows,
        "length": arguments.length,
        "precision": str(precision),
        "threads": torch.get_num_threads(),
        "peak_gflops": max(peaks) / 1e9,
        "tokens_per_second": speeds,
        "mfu": {name: statistics.median(rounds) * flops / max(peaks) for name, rounds in speeds.items()},
        "ratio_to_fastest_peer": [
            mine / theirs for mine, theirs in zip(speeds["codecascade"], best_peer, strict=True)
        ],
    }


def show(result: dict[str, Any], console: Console) -> None:
    ratios = result["ratio_to_fastest_peer"]
    table = Table(
        title=f"{result['shape']} ({result['parameters'] / 1e6:.1f}M), {result['rows']} x {result['length']} tokens, "
        f"{result['precision']}, {result['threads']} threads, peak {result['peak_gflops']:,.0f} GFLOP/s",
        caption=f"codecascade / the round's fastest peer: median {statistics.median(ratios):.3f} "
        f"({min(ratios):.3f} to {max(ratios):.3f})",
    )
    for column in ("peer", "tokens/s (median)", "min", "max", "MFU"):
        table.add_column(column, justify="left" if column == "peer" else "right")
    for name, rounds in result["tokens_per_second"].items():
        figures = (statistics.median(rounds), min(rounds), max(rounds))
        table.add_row(name, *(f"{figure:,.1f}" for figure in figures), f"{result['mfu'][name]:.1%}")
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--steps", type=int, default=3, help="timed steps of each peer in a round (one more warms up)"
    )
    parser.add_argument("--rows", type=int, default=4)
    parser.add_argument("--length", type=int, default=512, help="tokens of a row")
    parser.add_argument("--micro-batch-rows", type=int, help="default: all rows at once")
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16"), default="auto")
    parser.add_argument("--json", help="also write the figures to this file")
    arguments = parser.parse_args()
    logging.getLogger("transformers").setLevel(logging.ERROR)
    console = Console(width=max(110, Console().width))
    results = []
    for shape in arguments.shapes:
        results.append(measure(shape, arguments))
        show(results[-1], console)
    if arguments.json:
        versions = {
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "cpus": os.cpu_count(),
        }
        with open(arguments.json, "w") as file:
            json.dump({"versions": versions, "results": results}, file, indent=2)


if __name__ == "__main__":
    main()
