"""A few optimiser steps of a tiny model in many settings, in one process or (started by torchrun) in several.

``torchrun rank_steps.py OUT CASE...`` has its first rank write what :func:`steps_of` gives to ``OUT``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tiny_run import LENGTH, CountingStream, tiny_model, tiny_settings
from torch import Tensor, nn

from codecascade.model import precision
from codecascade.training.learner import Learner, rows_of_rank
from codecascade.training.parallel.ranks import World, join_world
from codecascade.training.parallel.weights_out import final_state_dict

ROWS, STEPS = 8, 3
NEW_TOKENS = (90, 91, 92, 93)
CASES: dict[str, dict[str, Any]] = {
    "fp32": {"micro_batch_rows": 2, "precision": "fp32"},
    "fp32, LoRA": {"micro_batch_rows": 2, "train": "lora", "lora_rank": 4, "precision": "fp32"},
    "one micro-batch a rank": {"micro_batch_rows": 4},
    "two micro-batches a rank": {"micro_batch_rows": 2},
    "four micro-batches a rank": {"micro_batch_rows": 1},
    "checkpointing": {"micro_batch_rows": 1, "activation_checkpointing": "full"},
    "compiled": {"micro_batch_rows": 2, "compile": True},
    "document masks": {"micro_batch_rows": 2, "document_masks": True},
    "LoRA": {"micro_batch_rows": 2, "train": "lora", "lora_rank": 4},
    "LoRA, checkpointing": {
        "micro_batch_rows": 2,
        "train": "lora",
        "lora_rank": 4,
        "activation_checkpointing": "full",
    },
}
"""Settings by name; in bf16 where they do not say otherwise."""


@dataclass(frozen=True)
class Taken:
    """What the steps did: each one's norm of the gradient before clipping, and how far every weight came."""

    norms: list[float]
    updates: dict[str, Tensor]


def steps_of(world: World, cases: Sequence[str]) -> dict[str, Taken]:
    """The steps of these cases, on the same global batches whatever the number of ranks."""
    with eager_compiler(), _bf16_everywhere():
        return {name: _steps(world, CASES[name]) for name in cases}


def _steps(world: World, changes: dict[str, Any]) -> Taken:
    fixed = {"batch_tokens": ROWS * LENGTH, "learning_rate": 1e-3, "warmup_steps": 0, "precision": "bf16"}
    settings = tiny_settings(**{**fixed, **changes})
    model = tiny_model()
    learner = Learner(model, settings, STEPS, world, NEW_TOKENS)
    # after the learner has rounded what it freezes
    before = {name: tensor.clone() for name, tensor in final_state_dict(model, settings).items()}
    # as many rows in a micro-batch, so that every product is made of the same numbers
    stream, rows = CountingStream(), rows_of_rank(world, settings)
    norms = [learner.step(stream.batch(rows), step).grad_norm for step in range(1, STEPS + 1)]
    after = final_state_dict(model, settings)
    return Taken(norms, {name: after[name] - before[name] for name in after})


class eager_compiler:
    """Layers are traced and compiled as ever, but no machine code is made of them, which takes minutes."""

    def __enter__(self) -> None:
        self.before = nn.Module.compile
        nn.Module.compile = lambda layer: self.before(layer, backend="eager")  # type: ignore[method-assign]

    def __exit__(self, *exception: object) -> None:
        nn.Module.compile = self.before  # type: ignore[method-assign]


class _bf16_everywhere:
    """bf16 also where the processor emulates it, slowly: for so small a model that is no matter."""

    def __enter__(self) -> None:
        self.before = precision._has_bf16
        precision._has_bf16 = lambda device: (True, "for a test")

    def __exit__(self, *exception: object) -> None:
        precision._has_bf16 = self.before


def main() -> None:
    torch.set_num_threads(1)
    world = join_world()
    taken = steps_of(world, sys.argv[2:])
    if world.first:
        torch.save({name: (one.norms, one.updates) for name, one in taken.items()}, Path(sys.argv[1]))


if __name__ == "__main__":
    main()
