"""Which meshes a stage can have: how its work can be divided over so many devices."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from codecascade.ground.errors import UserError
from codecascade.model.config import LlamaConfig
from codecascade.recipe.settings import Stage
from codecascade.training.parallel.mesh import check_mesh, check_rows
from codecascade.training.parallel.settings import MeshShape, ParallelSettings

FEWEST_TOKENS = 1024
"""Tokens of a row that a device gets at least: context parallelism for shorter pieces sends more than it computes."""

_INTEGERS = ("data_replicate", "data_shard", "context", "tensor")
_FREE = ParallelSettings()


def tokens_on_device(stage: Stage, mesh: MeshShape) -> int:
    """Tokens of a micro-batch that one device computes on; at least those of one row."""
    rows = max(1, min(stage.micro_batch_rows, stage.rows // mesh.data))
    return rows * stage.sequence_length // mesh.context


def with_mesh(stage: Stage, mesh: MeshShape) -> Stage:
    """``stage`` with the four integers of ``mesh`` in its settings."""
    integers = {name: getattr(mesh, name) for name in _INTEGERS}
    return stage.model_copy(update={"parallel": stage.sharing.model_copy(update=integers)})


def can_have(config: LlamaConfig, stage: Stage, mesh: MeshShape) -> bool:
    """Whether the model and the rows of a step can be shared out over ``mesh``."""
    try:
        check_mesh(config, with_mesh(stage, mesh), mesh.devices)
    except UserError:
        return False
    return True


def meshes(config: LlamaConfig, stage: Stage, devices: int, per_machine: int) -> Iterator[MeshShape]:
    """Every mesh of ``devices`` that ``stage`` can have, with tensor parallelism inside a machine."""
    for tensor in _divisors(devices, most=per_machine):
        for context in _divisors(devices // tensor, most=max(1, stage.sequence_length // FEWEST_TOKENS)):
            rest = devices // tensor // context
            for replicate in _divisors(rest, most=rest):
                mesh = MeshShape(replicate, rest // replicate, context, tensor)
                # a group that holds all weights is at least a machine, else it sends through the network in vain
                group = devices // replicate
                whole_machines = group % min(per_machine, devices) == 0
                if (replicate == 1 or whole_machines) and can_have(config, stage, mesh):
                    yield mesh


def _divisors(number: int, *, most: int) -> list[int]:
    small = [count for count in range(1, math.isqrt(number) + 1) if number % count == 0]
    return sorted(count for count in {*small, *(number // count for count in small)} if count <= most)


def is_fixed(stage: Stage) -> bool:
    """Whether the recipe fixes the mesh: one of the four integers is not its default."""
    return any(getattr(stage.sharing, name) != getattr(_FREE, name) for name in _INTEGERS)


def fixed_mesh(
    config: LlamaConfig | None,
    stage: Stage,
    devices: int,
    file: str | Path | None,
    key: str,
    *,
    always: bool = False,
) -> MeshShape | None:
    """The mesh that the recipe fixes for ``stage`` on ``devices``; None if it leaves it open.

    Args:
        config: the model's shape; None: not known, and not checked.
        key: the stage's, for messages.
        always: what the recipe leaves open is not chosen: all devices shard.

    Raises:
        UserError: the mesh has another number of devices, or model and rows can't be divided over it.
    """
    if not always and not is_fixed(stage):
        return None
    try:
        if config is not None:
            return check_mesh(config, stage, devices)
        shape = stage.sharing.shape(devices)
        check_rows(stage, shape)
        return shape
    except UserError as error:
        raise UserError(error.message, file=file, key=f"{key}.{error.key}") from None
