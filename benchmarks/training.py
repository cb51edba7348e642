"""Training speed beside transformers: the same shape, batch, precision and optimiser, in alternating rounds.

    python benchmarks/training.py                      # both shapes; some minutes on two quiet cores
    python benchmarks/training.py --shapes 30m --rounds 2 --steps 1
    python benchmarks/training.py --train lora         # beside peft, which must be installed

The peers are codecascade's step, transformers' Trainer, and a plain loop around transformers' LlamaForCausalLM, each
in a process of its own, as its users run it. All train random weights on one random batch with fused AdamW, gradient
clipping at 1.0 and fp32 master weights. The matrix products are in the precision in which the hardware is fastest.
Rounds alternate, so that other processes disturb all peers equally, and the fastest large matrix product is measured
in each round. Compare the ratios of one run, never the seconds of two runs.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import transformers
from rich.console import Console
from rich.table import Table
from training_peers import PEERS

from codecascade.model.config import LlamaConfig
from codecascade.model.precision import choose_precision, matmul_peak
from codecascade.model.presets import PRESETS

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
# codecascade sets these for its own process.
OURS_ALONE = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")


class PeerProcess:
    """A peer that takes steps when it is told to."""

    def __init__(self, name: str, task: Path) -> None:
        environment = {key: value for key, value in os.environ.items() if key not in OURS_ALONE}
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("training_peers.py")), name, str(task)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def seconds(self, steps: int) -> list[float]:
        """Of each step, after one that warms up."""
        assert self.process.stdin is not None and self.process.stdout is not None
        try:
            print(steps, file=self.process.stdin, flush=True)
            seconds: list[float] = json.loads(self.process.stdout.readline())
        except (OSError, ValueError):
            raise SystemExit(self.process.communicate()[1][-2000:]) from None
        return seconds

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


def measure(shape: str, arguments: argparse.Namespace) -> dict[str, Any]:
    config, precision = SHAPES[shape], choose_precision(DEVICE, arguments.precision)
    task = {
        "ours": asdict(config),
        "theirs": config.to_hf(),
        "rows": arguments.rows,
        "length": arguments.length,
        "micro_batch_rows": arguments.micro_batch_rows or arguments.rows,
        "bf16": precision.dtype == torch.bfloat16,
        "train": arguments.train,
        "device": DEVICE.type,
    }
    seconds: dict[str, list[list[float]]] = {name: [] for name in PEERS}
    peaks = []
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        path = Path(folder) / "task.json"
        path.write_text(json.dumps(task))
        peers = {name: PeerProcess(name, path) for name in PEERS}
        for peer in peers.values():
            stack.callback(peer.close)
        # all are loaded before any is timed
        for peer in peers.values():
            peer.seconds(1)
        for turn in range(arguments.rounds):
            names = list(peers) if turn % 2 == 0 else list(peers)[::-1]
            for name in names:
                matmul_peak.cache_clear()
                peaks.append(matmul_peak(DEVICE, precision.dtype))
                seconds[name].append(peers[name].seconds(arguments.steps))
            taken = ", ".join(
                f"{name} {statistics.median(rounds[-1]):.2f} s" for name, rounds in seconds.items()
            )
            print(f"{shape}, round {turn + 1}: a step of {taken}", file=sys.stderr)
    batch_tokens = arguments.rows * arguments.length
    speeds = {
        name: [batch_tokens / statistics.median(taken) for taken in rounds]
        for name, rounds in seconds.items()
    }
    best_peer = [
        max(speeds[name][turn] for name in PEERS if name != "codecascade") for turn in range(arguments.rounds)
    ]
    # frozen weights need no gradient
    flops = config.flops_per_token(arguments.length) * (2 / 3 if arguments.train == "lora" else 1)
    peak = statistics.median(peaks)
    return {
        "shape": shape,
        "train": arguments.train,
        "parameters": config.num_parameters(),
        "rows": arguments.rows,
        "length": arguments.length,
        "precision": str(precision),
        "threads": torch.get_num_threads(),
        "peak_gflops": [each / 1e9 for each in (peak, min(peaks), max(peaks))],
        "tokens_per_second": speeds,
        "mfu": {name: statistics.median(rounds) * flops / peak for name, rounds in speeds.items()},
        "ratio_to_fastest_peer": [
            mine / theirs for mine, theirs in zip(speeds["codecascade"], best_peer, strict=True)
        ],
    }


def show(result: dict[str, Any], console: Console) -> None:
    ratios = result["ratio_to_fastest_peer"]
    peak, lowest, highest = result["peak_gflops"]
    trained = "LoRA" if result["train"] == "lora" else "all weights"
    table = Table(
        title=f"{result['shape']} ({result['parameters'] / 1e6:.1f}M), {result['rows']} x {result['length']} tokens, "
        f"{trained}, {result['precision']}, {result['threads']} threads",
        caption=f"codecascade / the round's fastest peer: median {statistics.median(ratios):.3f} "
        f"({min(ratios):.3f} to {max(ratios):.3f}); "
        f"fastest product {peak:,.0f} GFLOP/s ({lowest:,.0f} to {highest:,.0f})",
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
    parser.add_argument("--train", choices=("all", "lora"), default="all")
    parser.add_argument("--json", help="also write the figures to this file")
    arguments = parser.parse_args()
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
