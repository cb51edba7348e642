"""How the ranks share the work: four integers, and what is traded for memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

from pydantic import Field, model_validator

from codecascade.ground.errors import UserError
from codecascade.ground.settings import Settings

Checkpointing = Literal["none", "selective", "full"]
"""What the backward pass computes again: nothing, some results of a layer, or all of it."""


@dataclass(frozen=True)
class MeshShape:
    """Ranks along each dimension of a mesh, the outermost first: neighbours differ in ``tensor``.

    Neighbouring ranks are on one machine, and tensor parallelism sends the most, several times in each layer. Context
    parallelism sends keys and values once a layer, sharded data parallelism sends weights ahead of their use, and
    replicas only meet once a step.
    """

    data_replicate: int
    data_shard: int
    context: int
    tensor: int

    @property
    def devices(self) -> int:
        return self.data * self.rows_shared_by

    @property
    def data(self) -> int:
        """Groups of ranks with rows of their own."""
        return self.data_replicate * self.data_shard

    @property
    def rows_shared_by(self) -> int:
        """Ranks that work on the same rows."""
        return self.context * self.tensor

    @property
    def shards(self) -> int:
        """Ranks that FSDP shards a weight over. Those of a context group have the same rows but other tokens."""
        return self.data_shard * self.context

    def data_rank(self, rank: int) -> int:
        """The number of the group that rank ``rank`` reads rows with."""
        return rank // self.rows_shared_by

    def leads(self, rank: int) -> bool:
        """Whether ``rank`` is the first of the ranks with its rows. What is counted in rows is counted there."""
        return rank % self.rows_shared_by == 0

    def __str__(self) -> str:
        return (
            f"data_replicate {self.data_replicate} x data_shard {self.data_shard} x context {self.context} "
            f"x tensor {self.tensor}"
        )


class ParallelSettings(Settings):
    """The mesh of ranks, and what each rank does to save memory. They change no result but for rounding."""

    data_shard: int = Field(
        -1,
        ge=-1,
        description="ranks that weights, gradients and moments are sharded over (FSDP2); -1: all that are left",
    )
    data_replicate: int = Field(
        1, gt=0, description="copies of such a group (HSDP); their gradients are averaged"
    )
    tensor: int = Field(
        1, gt=0, description="ranks that share each layer's matrices, the vocabulary tables and the loss"
    )
    context: int = Field(1, gt=0, description="ranks that share the tokens of a row, for long rows")
    reduce_gradients: Literal["auto", "step", "micro_batch"] = Field(
        "auto",
        description="when ranks add up gradients: once a step, or after each micro-batch; auto: once a step where "
        "the unsharded gradient takes at most a fifth of a device's memory",
    )
    float8: bool = Field(
        False,
        description="products in float8 by torchao, on GPUs that can (H100 and later); needs train = 'all'",
    )

    @model_validator(mode="after")
    def _has_ranks(self) -> Self:
        if self.data_shard == 0:
            raise ValueError("data_shard must be > 0, or -1 for all ranks that are left (got 0)")
        return self

    def shape(self, ranks: int) -> MeshShape:
        """The mesh of ``ranks`` ranks.

        Raises:
            UserError: the mesh has another number of ranks.
        """
        fixed = self.data_replicate * self.context * self.tensor
        shard = ranks // fixed if self.data_shard == -1 else self.data_shard
        shape = MeshShape(self.data_replicate, shard, self.context, self.tensor)
        if shape.devices == ranks:
            return shape
        started = "1 rank" if ranks == 1 else f"{ranks:,} ranks"
        if self.data_shard == -1:
            raise UserError(
                f"data_replicate {self.data_replicate} x context {self.context} x tensor {self.tensor} = {fixed:,} "
                f"ranks do not divide the {started} of this run; start a multiple of {fixed:,}, or change the mesh",
                key="parallel",
            )
        raise UserError(
            f"{shape} = {shape.devices:,} ranks, but this run has {started}; set data_shard = -1 to use them all, or "
            f"start {shape.devices:,}",
            key="parallel",
        )
