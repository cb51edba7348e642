"""How long a checkpoint holds the training: written at once, and written in the background.

    python benchmarks/checkpoints.py                 # 30 million weights: 0.4 GB a checkpoint
    python benchmarks/checkpoints.py --layers 20

One process trains random weights. Both ways alternate, so that other processes disturb them equally. ``copy`` is a
plain copy of the same tensors in memory, which is the least that a checkpoint in the background can take.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from codecascade.ground.format import show_bytes
from codecascade.model.config import LlamaConfig
from codecascade.model.llama import Llama
from codecascade.training.checkpoints.checkpoints import Checkpoints
from codecascade.training.checkpoints.state import TrainingProgress
from codecascade.training.checkpoints.tensors import local_bytes, tensors_of
from codecascade.training.parallel.ranks import World

ALONE = World(0, 1, torch.device("cpu"), None)


def trained_model(layers: int) -> tuple[Llama, torch.optim.AdamW]:
    """A model after one step, so that AdamW has its moments."""
    config = LlamaConfig(
        vocab_size=32_016,
        hidden_size=512,
        intermediate_size=1376,
        num_hidden_layers=layers,
        num_attention_heads=8,
        num_key_value_heads=4,
        head_dim=64,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
    )
    model = Llama(config)
    adamw = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    adamw.step()
    adamw.zero_grad(set_to_none=True)
    return model, adamw


def copied(tensors: Any) -> Any:
    """A copy of all tensors in nested dictionaries and lists."""
    if isinstance(tensors, Tensor):
        return tensors.clone()
    if isinstance(tensors, dict):
        return {name: copied(value) for name, value in tensors.items()}
    return [copied(value) for value in tensors] if isinstance(tensors, list | tuple) else tensors


def main() -> None:
    """Print the medians of the rounds."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--layers", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    model, adamw = trained_model(arguments.layers)
    seconds: dict[str, list[float]] = {
        "at once": [],
        "in the background": [],
        "until it is whole": [],
        "copy": [],
    }
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = Checkpoints(Path(folder), ALONE, {})
        for number in range(arguments.rounds):
            start = time.perf_counter()
            checkpoints.save(TrainingProgress(2 * number), model, adamw, {})
            seconds["at once"].append(time.perf_counter() - start)
            start = time.perf_counter()
            checkpoints.save(TrainingProgress(2 * number + 1), model, adamw, {}, background=True)
            seconds["in the background"].append(time.perf_counter() - start)
            checkpoints.wait()
            seconds["until it is whole"].append(time.perf_counter() - start)
            start = time.perf_counter()
            copied(tensors_of(model, adamw))
            seconds["copy"].append(time.perf_counter() - start)
        checkpoints.close()
    table = Table(title=f"a checkpoint of {show_bytes(local_bytes(tensors_of(model, adamw)))}")
    for column in ("", "median s", "smallest", "largest"):
        table.add_column(column, justify="left" if not column else "right")
    for name, taken in seconds.items():
        table.add_row(name, *(f"{value:.2f}" for value in (statistics.median(taken), min(taken), max(taken))))
    Console().print(table)


if __name__ == "__main__":
    main()
