"""The ranks as a mesh with a name for each dimension (torch's DeviceMesh), and what can't be shared out over it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch.distributed.device_mesh import DeviceMesh

from codecascade.ground.errors import UserError
from codecascade.model.config import LlamaConfig
from codecascade.training.parallel.ranks import World, device_mesh
from codecascade.training.parallel.settings import MeshShape
from codecascade.training.settings import TrainingSettings

REPLICATE, SHARD, CONTEXT, TENSOR = "data_replicate", "data_shard", "context", "tensor"


@dataclass(frozen=True)
class Mesh:
    """The ranks of a world in the shape that the settings ask for, and this rank's place among them.

    Attributes:
        weights: with the dimensions ``data_replicate``, ``data_shard`` and ``tensor``. Weights are sharded over the
            ranks of a context group, too, so ``data_shard`` has them here. None for a process on its own.
        contexts: with the dimensions ``data`` and ``context`` and ``tensor``, where rows are shared; else None.
    """

    shape: MeshShape
    rank: int
    weights: DeviceMesh | None
    contexts: DeviceMesh | None

    @property
    def tensor(self) -> DeviceMesh | None:
        """The ranks that share matrices with this one; None if it shares none."""
        return None if self.weights is None or self.shape.tensor == 1 else self.weights[TENSOR]

    @property
    def context(self) -> DeviceMesh | None:
        """The ranks that share rows with this one; None if it shares none."""
        return None if self.contexts is None else self.contexts[CONTEXT]

    @property
    def context_rank(self) -> int:
        return self.rank // self.shape.tensor % self.shape.context

    @property
    def data(self) -> DeviceMesh | None:
        """The ranks that FSDP shards over, with two dimensions where it replicates; None for a process on its own."""
        if self.weights is None:
            return None
        return self.weights[SHARD] if self.shape.data_replicate == 1 else self.weights[REPLICATE, SHARD]


def make_mesh(world: World, settings: TrainingSettings) -> Mesh:
    """The mesh that ``settings`` ask for, over the ranks of ``world``. All ranks must call this.

    Raises:
        UserError: the mesh has another number of ranks.
    """
    shape = settings.sharing.shape(world.size)
    if world.mesh is None:
        return Mesh(shape, world.rank, None, None)
    kind = world.device.type
    weights = device_mesh(
        kind, (shape.data_replicate, shape.shards, shape.tensor), (REPLICATE, SHARD, TENSOR)
    )
    contexts = None
    if shape.context > 1:
        contexts = device_mesh(kind, (shape.data, shape.context, shape.tensor), ("data", CONTEXT, TENSOR))
    return Mesh(shape, world.rank, weights, contexts)


def check_mesh(config: LlamaConfig, settings: TrainingSettings, ranks: int) -> MeshShape:
    """The shape of the mesh of ``ranks`` ranks, which the model and the rows of a step can be shared out over.

    Raises:
        UserError: they can't, or the mesh has another number of ranks.
    """
    _check_matrices(config, settings.sharing.tensor)
    shape = settings.sharing.shape(ranks)
    check_rows(settings, shape)
    if shape.tensor > 1 and -(-config.vocab_size // shape.tensor) * (shape.tensor - 1) >= config.vocab_size:
        raise UserError(
            f"{config.vocab_size:,} rows of the vocabulary are too few for {shape.tensor} ranks",
            key="parallel.tensor",
        )
    length = settings.sequence_length
    if shape.context > 1 and length % (2 * shape.context):
        raise UserError(
            f"{shape.context} ranks can't share rows of {length:,} tokens: each takes two parts of equal length, so "
            f"sequence_length must be a multiple of {2 * shape.context}",
            key="parallel.context",
        )
    if length // shape.context % shape.tensor:
        raise UserError(
            f"between products {shape.tensor} ranks share the {length // shape.context:,} tokens of a row that each "
            f"has, which they can't evenly; make sequence_length a multiple of {shape.tensor * shape.context}",
            key="parallel.tensor",
        )
    if settings.sharing.float8 and settings.train == "lora":
        raise UserError(
            "needs train = 'all': LoRA's frozen matrices stay in the format that their updates are made for",
            key="parallel.float8",
        )
    return shape


def _check_matrices(config: LlamaConfig, tensor: int) -> None:
    """Raise UserError if so many ranks can't share heads and feed-forward networks, whatever the number of all ranks.

    The divisor that the message names divides all of them.
    """
    sizes = {
        key: getattr(config, key)
        for key in ("num_attention_heads", "num_key_value_heads", "intermediate_size")
    }
    for key, size in sizes.items():
        if size % tensor:
            raise UserError(
                f"{tensor} ranks can't share the model's {key}, {size:,}, evenly; use a divisor of "
                f"{math.gcd(*sizes.values()):,}",
                key="parallel.tensor",
            )


def check_rows(settings: TrainingSettings, shape: MeshShape) -> None:
    """Raise UserError if the rows of a step can't be shared out evenly over the groups of ranks of ``shape``."""
    if settings.rows % shape.data == 0:
        return
    whose = "ranks" if shape.rows_shared_by == 1 else f"groups of {shape.rows_shared_by} ranks"
    raise UserError(
        f"{settings.batch_tokens:,} tokens are {settings.rows} rows of {settings.sequence_length:,}, "
        f"which {shape.data} {whose} can't share evenly: make it a multiple of "
        f"{settings.sequence_length * shape.data:,}, or let more ranks share a row (parallel.context, "
        "parallel.tensor)",
        key="batch_tokens",
    )
