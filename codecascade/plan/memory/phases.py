"""The memory of what comes before and after a stage's steps: loading, checkpoints, writing the model, measuring."""

from __future__ import annotations

from dataclasses import dataclass

from codecascade.model.config import LlamaConfig
from codecascade.plan.memory.kinds import Memory
from codecascade.plan.memory.step import product_bytes, step_state
from codecascade.recipe.settings import Stage
from codecascade.training.parallel.settings import MeshShape
from codecascade.training.parallel.weights_in import PIECE_BYTES

CACHE_BYTES = 2
"""Of a number in the cache of keys and values, which is bf16."""


@dataclass(frozen=True)
class StageMemory:
    """What a stage takes of each device in each of its phases, in bytes (estimates).

    Attributes:
        load: while each rank reads its slices of the weights.
        step: at the peak of a step, by kind.
        save: while the finished model is written: a rank's slices, its moments and a piece of a tensor.
        measuring: of each device that measures, which has the whole model: weights, and the cache of one text as long
            as the model can read.
        checkpoint_host: of a machine's own memory, beside the steps that go on while a checkpoint is written:
            the copies that its ranks write from. 0 where training waits (``async_checkpoints``), which needs no copy.
    """

    load: int
    step: Memory
    save: int
    measuring: int
    checkpoint_host: int


def stage_memory(
    config: LlamaConfig, stage: Stage, mesh: MeshShape, step: Memory, *, per_machine: int
) -> StageMemory:
    """What ``stage`` takes in each phase on ``mesh``.

    Args:
        step: the memory of a step on it.
        per_machine: devices of one machine, at most.
    """
    state = step_state(config, stage, mesh)
    # what is trained, and its two moments, all in fp32; frozen weights are in no checkpoint
    copy = 3 * state.moments // 2 if stage.async_checkpoints else 0
    return StageMemory(
        load=state.weights + PIECE_BYTES,
        step=step,
        save=state.weights + state.moments + PIECE_BYTES,
        measuring=measuring_bytes(config, stage),
        checkpoint_host=copy * min(per_machine, mesh.devices),
    )


def measuring_bytes(config: LlamaConfig, stage: Stage | None) -> int:
    """The weights in the products' format, and the cache of one text as long as the model's context."""
    width = 2 if stage is None else product_bytes(stage)
    keys = 2 * config.num_key_value_heads * config.head_dim * config.num_hidden_layers
    return width * config.num_parameters() + CACHE_BYTES * keys * config.max_position_embeddings
