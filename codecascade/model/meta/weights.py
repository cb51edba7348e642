"""The weights of a model in Meta's form, read part by part from the parts that its files hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from codecascade.ground.errors import UserError
from codecascade.model.rope import halves_of_neighbours
from codecascade.model.stored.weights import Part

Shards = Sequence[Mapping[str, Tensor]]


@dataclass(frozen=True)
class MetaTensor:
    """Where one of a model's tensors is.

    Attributes:
        name: Meta's.
        shape: of the whole.
        axis: along which the shards' parts are put together; None if each shard holds the whole.
        heads: whose rows are ordered for a rotation of neighbours; None if they are not.
    """

    name: str
    shape: tuple[int, ...]
    axis: int | None
    heads: int | None


class MetaWeights:
    """The memory-mapped shards of a model; only what is asked for is copied. ``tensors`` are by Hugging Face's names.

    Raises:
        UserError: a tensor that each shard should hold alike is another in one of them.
    """

    def __init__(self, folder: Path, shards: Shards, tensors: Mapping[str, MetaTensor]) -> None:
        self._shards, self._tensors = shards, tensors
        self.shapes = {name: tensor.shape for name, tensor in tensors.items()}
        for tensor in tensors.values():
            first, *others = (shard[tensor.name] for shard in shards)
            if tensor.axis is None and not all(torch.equal(other, first) for other in others):
                raise UserError(
                    "differs between the files, which are of several models", file=folder, key=tensor.name
                )

    def read(self, name: str, part: Part = ()) -> Tensor:
        tensor = self._tensors[name]
        parts = [shard[tensor.name] for shard in self._shards]
        if tensor.axis is None:
            parts = parts[:1]
        whole = part or (slice(None),)
        if tensor.heads is not None:
            order = halves_of_neighbours(torch.arange(tensor.shape[0]), tensor.heads)[whole[0]]
        elif len(parts) == 1:
            return parts[0][whole]
        else:
            order = torch.arange(tensor.shape[0])[whole[0]]
        if tensor.axis == 1:
            rows = torch.cat([one[order] for one in parts], 1)
        else:
            each = len(parts[0])
            rows = parts[0].new_empty(len(order), *tensor.shape[1:])
            for number, one in enumerate(parts):
                here = order // each == number
                rows[here] = one[order[here] - number * each]
        return rows[(slice(None), *whole[1:])]

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        return ((name, self.read(name)) for name in self._tensors)
