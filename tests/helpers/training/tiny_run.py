"""A tiny training run: tests call its parts, or start it as a process (``python tiny_run.py FOLDER``)."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import torch

from codecascade.ground.errors import Stopped
from codecascade.model.config import LlamaConfig
from codecascade.model.llama import Llama
from codecascade.training.logs import StepReport
from codecascade.training.loop import TrainingResult, train
from codecascade.training.settings import TrainingSettings
from codecascade.training.stream.stream import Batch

VOCABULARY, LENGTH = 96, 24


def tiny_model(*, tied: bool = True, seed: int = 0) -> Llama:
    torch.manual_seed(seed)
    config = LlamaConfig(
        model_type="llama",
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=64,
        tie_word_embeddings=tied,
    )
    model = Llama(config)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.05)
    return model


def tiny_settings(**changes: Any) -> TrainingSettings:
    values: dict[str, Any] = {
        "steps": 20,
        "sequence_length": LENGTH,
        "batch_tokens": 4 * LENGTH,
        "micro_batch_rows": 2,
        "learning_rate": 1e-2,
        "precision": "fp32",
        "checkpoint_every": 3,
    }
    return TrainingSettings(**{**values, **changes})


class CountingStream:
    """Rows that count upwards from a random number by a random stride, in two documents each; a third has weight 0.

    Row ``s``'s n-th batch depends on ``(s, n)`` alone, as in the real stream.
    """

    def __init__(self, weight_of_row: float = 1.0) -> None:
        self.taken: dict[int, int] = {}
        self.weight_of_row = weight_of_row

    def batch(self, rows: range) -> Batch:
        drawn = [self._row(row) for row in rows]
        return Batch(
            tokens=torch.stack([tokens for tokens, _, _ in drawn]),
            weights=torch.stack([weights for _, weights, _ in drawn]),
            document_ids=(torch.arange(LENGTH) >= LENGTH // 2).int().repeat(len(drawn), 1),
            documents=[names for _, _, names in drawn],
            counts={"documents": 2 * len(drawn), "infilled": len(drawn)},
        )

    def _row(self, row: int) -> tuple[torch.Tensor, torch.Tensor, list[str]]:
        number = self.taken.get(row, 0)
        self.taken[row] = number + 1
        generator = torch.Generator().manual_seed(1000 * row + number)
        start, stride = (int(torch.randint(1, 8, (), generator=generator)) for _ in range(2))
        tokens = (start + stride * torch.arange(LENGTH + 1)) % VOCABULARY
        weights = (torch.rand(LENGTH, generator=generator) > 1 / 3).float() * (1 + row * self.weight_of_row)
        return tokens, weights, [f"{row}/{number}/a", f"{row}/{number}/b"]

    def state_dict(self, rows: range) -> dict[str, Any]:
        return {str(row): self.taken.get(row, 0) for row in rows}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.taken = {int(row): taken for row, taken in state.items()}


def tiny_train(folder: Path, settings: TrainingSettings, **changes: Any) -> TrainingResult:
    arguments: dict[str, Any] = {
        "model": tiny_model(),
        "stream": CountingStream(),
        "settings": settings,
        "folder": folder / "checkpoints",
        "log": folder / "log.jsonl",
        "fingerprint": {"settings": settings.model_dump(mode="json")},
    }
    return train(**{**arguments, **changes})


def read_log(folder: Path) -> list[dict[str, Any]]:
    log = folder / "log.jsonl"
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def losses(folder: Path) -> list[float]:
    return [row["loss"] for row in read_log(folder)]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--settings", type=json.loads, default={})
    parser.add_argument("--pause", type=float, default=0.0, help="seconds after each step")
    parser.add_argument(
        "--terminate-at", type=int, help="the first rank sends itself SIGTERM after this step"
    )
    parser.add_argument("--stay", action="store_true", help="when it is done, wait to be killed")
    arguments = parser.parse_args()
    torch.set_num_threads(1)

    def progress(report: StepReport) -> None:
        time.sleep(arguments.pause)
        if report.step == arguments.terminate_at:
            os.kill(os.getpid(), signal.SIGTERM)

    try:
        tiny_train(arguments.folder, tiny_settings(**arguments.settings), progress=progress)
    except Stopped as stopped:
        sys.exit(stopped.exit_code)
    if arguments.stay:
        time.sleep(600)


if __name__ == "__main__":
    main()
