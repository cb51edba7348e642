"""Steps of tiny models on a mesh of ranks, each started as torchrun would, or in one process.

``mesh_steps.py OUT '{"tensor": 2}' CASE ...`` has its first rank write what :func:`taken` gives to ``OUT``.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from model_variants import VARIANTS
from rank_steps import eager_compiler
from stream_fakes import make_stream, random_dialogues, random_documents, tiny_tokenizer
from torch import Tensor

from codecascade.model.config import LlamaConfig
from codecascade.model.llama import Llama
from codecascade.training.learner import BatchStream, Learner, rows_of_rank
from codecascade.training.parallel.ranks import World, join_world
from codecascade.training.parallel.weights_out import final_state_dict
from codecascade.training.settings import TrainingSettings
from codecascade.training.stream.stream_sources import StreamSource

ROWS, LENGTH, STEPS = 8, 32, 20
NEW_TOKENS = range(396, 404)
"""Rows with a rate of their own. The tables have 404 rows, so that two ranks have rows of them."""


@dataclass(frozen=True)
class Case:
    """A model, what it is trained on, and how."""

    model: str = "grouped"
    dialogues: bool = False
    settings: dict[str, Any] = field(default_factory=dict)


_LORA = {"train": "lora", "lora_rank": 4}
CASES = {
    "infilling": Case(),
    "tied head": Case("tied"),
    "instruct": Case(dialogues=True),
    "LoRA": Case(settings=_LORA),
    "LoRA, tied head, dialogues": Case("tied", True, _LORA),
    "rows of one document": Case(settings={"document_masks": False}),
    "norms of queries, computed again": Case("qwen3", settings={"activation_checkpointing": "full"}),
    "multipliers and biases": Case("granite_biases", settings={"activation_checkpointing": "selective"}),
    "compiled": Case(settings={"compile": True}),
    "compiled, computed again": Case(settings={"compile": True, "activation_checkpointing": "selective"}),
    "reduced after each micro-batch": Case(
        settings={"reduce_gradients": "micro_batch", "loss_chunk_tokens": 7}
    ),
}
"""By what is special. All but the dialogues' have infilling, and all but one document masks."""
_PARALLEL = ("reduce_gradients",)


def tiny_variant(name: str) -> Llama:
    """A random model of a tiny tokenizer's vocabulary, the same at each call."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=NEW_TOKENS.stop,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=64,
    )
    model = Llama(replace(config, **{"head_dim": 8, **VARIANTS[name]}))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, mean=float(parameter.ndim == 1), std=0.05)
    return model


def tiny_stream(case: Case, document_masks: bool) -> BatchStream:
    assert tiny_tokenizer().vocab_size <= NEW_TOKENS.stop
    source = StreamSource("code", 1, random_documents([5, 9, 14, 30, 60] * 8))
    if case.dialogues:
        source = StreamSource("dialogues", 1, random_dialogues([4] * 40), kind="dialogues")
    return make_stream(source, sequence_length=LENGTH, rows=ROWS, document_masks=document_masks)


def settings_of(case: Case, parallel: dict[str, Any]) -> TrainingSettings:
    own = {key: value for key, value in case.settings.items() if key in _PARALLEL}
    others = {key: value for key, value in case.settings.items() if key not in _PARALLEL}
    values: dict[str, Any] = {
        "steps": STEPS,
        "sequence_length": LENGTH,
        "batch_tokens": ROWS * LENGTH,
        "micro_batch_rows": 2,
        "learning_rate": 3e-3,
        "new_token_learning_rate": 6e-3,
        "warmup_steps": 2,
        "precision": "fp32",
        "document_masks": True,
        "parallel": {**parallel, **own},
    }
    return TrainingSettings(**{**values, **others})


@dataclass(frozen=True)
class Taken:
    """What the steps did: the loss and the norm of the gradient of each, and the weights afterwards."""

    losses: list[float]
    norms: list[float]
    weights: dict[str, Tensor]


def taken(world: World, parallel: dict[str, Any], case: Case, steps: int = STEPS) -> Taken:
    """Steps on the same global batches whatever the mesh."""
    settings = settings_of(case, parallel)
    model = tiny_variant(case.model)
    stream, rows = tiny_stream(case, settings.document_masks), rows_of_rank(world, settings)
    with eager_compiler():
        learner = Learner(model, settings, STEPS, world, NEW_TOKENS)
        found = [learner.step(stream.batch(rows), step) for step in range(1, steps + 1)]
    return Taken(
        [step.loss for step in found],
        [step.grad_norm for step in found],
        {name: tensor.clone() for name, tensor in final_state_dict(model, settings).items()},
    )


def main() -> None:
    torch.set_num_threads(1)
    world = join_world()
    out, parallel, steps = Path(sys.argv[1]), json.loads(sys.argv[2]), int(sys.argv[3])
    found = {name: taken(world, parallel, CASES[name], steps) for name in sys.argv[4:]}
    if world.first:
        torch.save({name: (one.losses, one.norms, one.weights) for name, one in found.items()}, out)


if __name__ == "__main__":
    main()
