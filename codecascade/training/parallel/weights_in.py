"""Fills a model that stands on the meta device: each rank reads its own slices of each tensor, and nothing else.

No rank ever has the whole model, nor a whole tensor. Beside its own slices it needs the memory of one piece
(:data:`PIECE_BYTES`), because files are memory-mapped and read a piece at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

from codecascade.ground.format import show_bytes
from codecascade.model.stored.weights import Weights
from codecascade.training.parallel.device_memory import memory_errors
from codecascade.training.parallel.ranks import World

PIECE_BYTES = 8 << 20
"""The most memory, in fp32, of a piece of a tensor, if a row of it is not larger."""


@dataclass(frozen=True)
class LocalSlice:
    """What one rank has of a tensor.

    Attributes:
        values: the rank's own part, which shares the tensor's memory.
        offset: of its first element in the whole tensor, one number a dimension.
    """

    values: Tensor
    offset: tuple[int, ...]

    @classmethod
    def of(cls, tensor: Tensor) -> LocalSlice:
        if not isinstance(tensor, DTensor):
            return cls(tensor, (0,) * tensor.ndim)
        _, offset = compute_local_shape_and_global_offset(tensor.shape, tensor.device_mesh, tensor.placements)
        return cls(tensor.to_local(), tuple(offset))

    def pieces(self) -> Iterator[LocalSlice]:
        """Some rows at a time; none if the rank has nothing."""
        if self.values.numel() == 0:
            return
        if self.values.ndim == 0:
            yield self
            return
        for start, stop in row_pieces(tuple(self.values.shape)):
            yield LocalSlice(self.values[start:stop], (self.offset[0] + start, *self.offset[1:]))

    @property
    def part(self) -> tuple[slice, ...]:
        """Where it is in the whole tensor."""
        return tuple(
            slice(start, start + length) for start, length in zip(self.offset, self.values.shape, strict=True)
        )


def row_pieces(shape: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """The first and the last row (not included) of each piece of a tensor of this shape."""
    row = 4 * max(1, torch.Size(shape[1:]).numel())
    step = max(1, PIECE_BYTES // row)
    return ((start, min(start + step, shape[0])) for start in range(0, shape[0], step))


@torch.no_grad()
def fill(model: nn.Module, weights: Weights, world: World) -> None:
    """Give a model on the meta device, sharded or not, memory on ``world.device``, and its weights. In place.

    Parameters and buffers keep their placements and types.

    Args:
        weights: read by the names of the model's state dict.

    Raises:
        UserError: the files are broken or not there for some rank, or the device of some rank has no memory for its
            slices. Every rank raises it.
    """
    world.on_all(lambda: _fill(model, weights, world))


def _fill(model: nn.Module, weights: Weights, world: World) -> None:
    needed = sum(LocalSlice.of(tensor).values.nbytes for tensor in model.state_dict().values())
    what = f"this rank's share of the weights, {show_bytes(needed)},"
    with memory_errors(world.device, what, "use more ranks, or devices with more memory"):
        model.to_empty(device=world.device)
    for name, tensor in model.state_dict().items():
        for piece in LocalSlice.of(tensor).pieces():
            piece.values.copy_(weights.read(name, piece.part))
