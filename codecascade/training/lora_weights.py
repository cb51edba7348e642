"""The weights of a model with LoRA: where they come from at the start, and what they are merged into at the end.

Both work on parts of tensors, so that no rank needs a whole matrix. The two factors of an update are small, and whole
on every rank meanwhile.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from codecascade.ground.seeds import draw
from codecascade.model.stored.weights import Part, StoredWeights

_TABLE = ".parametrizations.weight"
"""What PyTorch adds to the name of a table some rows of which train: ``original``, ``0.new_rows`` and ``0.ids`` are
below it."""


class LoRAWeights:
    """The first values of a model after :func:`~codecascade.training.lora.add_lora`, by the names it has then.

    The first matrices are drawn by a key of seed and layer, so that any number of ranks draws the same.

    Args:
        weights: of the model without LoRA.
        new_token_ids: the rows that train fully.
    """

    def __init__(
        self, weights: StoredWeights, *, rank: int, seed: int, new_token_ids: Sequence[int] = ()
    ) -> None:
        self._weights, self._rank, self._seed = weights, rank, seed
        self._ids = list(new_token_ids)

    def read(self, name: str, part: Part = ()) -> Tensor:
        module, _, leaf = name.rpartition(".")
        table = module.removesuffix(".0").removesuffix(_TABLE) + ".weight"
        if leaf == "lora_a":
            columns = self._weights.shapes[f"{module}.weight"][1]
            return first_matrix(self._seed, module, self._rank, columns)[part]
        if leaf == "lora_b":
            return torch.zeros(self._weights.shapes[f"{module}.weight"][0], self._rank)[part]
        if leaf == "ids":
            return torch.tensor(self._ids)[part]
        if leaf == "new_rows":
            rows = [self._weights.read(table, (slice(row, row + 1),)).float() for row in self._ids]
            return torch.cat(rows)[part]
        return self._weights.read(table if leaf == "original" else name, part)


def first_matrix(seed: int, module: str, rank: int, in_features: int) -> Tensor:
    """The first factor (rank, in_features) of a layer's update: uniform, as PyTorch draws a linear layer's weight."""
    bound = 1 / math.sqrt(in_features)
    generator = torch.Generator().manual_seed(draw(seed, "lora", module) >> 1)
    return torch.empty(rank, in_features).uniform_(-bound, bound, generator=generator)


Merge = Callable[[Tensor, Part], Tensor]
"""What makes of the trained values of a part the ordinary model's, given where the part is in the tensor."""


@dataclass(frozen=True)
class FinishedTensor:
    """A tensor of the ordinary model that training has made.

    Attributes:
        stored: the trained model's, which may be sharded.
        factors: gathers what is to be merged into it, on every rank; None if it is the ordinary model's already.
    """

    name: str
    stored: Tensor
    factors: Callable[[], Merge] | None = None

    def merge(self) -> Merge:
        """What makes the ordinary model's values of parts. All ranks must call this together."""
        return (lambda own, part: own) if self.factors is None else self.factors()


def finished_tensors(state: Mapping[str, Tensor], scale: float) -> Iterator[FinishedTensor]:
    """The tensors of the ordinary model, in order, given a trained model's state dict, with or without LoRA.

    Args:
        scale: what the product of LoRA's factors is multiplied by (``TrainingSettings.merge_scale``).
    """
    for name, tensor in state.items():
        module, _, leaf = name.rpartition(".")
        if leaf == "original":
            rows, ids = state[f"{module}.0.new_rows"], state[f"{module}.0.ids"]
            yield FinishedTensor(f"{module.removesuffix(_TABLE)}.weight", tensor, partial(_rows, rows, ids))
        elif leaf == "weight" and f"{module}.lora_a" in state:
            first, second = state[f"{module}.lora_a"], state[f"{module}.lora_b"]
            yield FinishedTensor(name, tensor, partial(_update, first, second, scale))
        elif leaf not in ("lora_a", "lora_b", "new_rows", "ids"):
            yield FinishedTensor(name, tensor)


def _whole(tensor: Tensor) -> Tensor:
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def _update(lora_a: Tensor, lora_b: Tensor, scale: float) -> Merge:
    first, second = _whole(lora_a), _whole(lora_b)

    def merge(own: Tensor, part: Part) -> Tensor:
        rows, columns = part
        return torch.add(own, second[rows] @ first[:, columns], alpha=scale)

    return merge


def _rows(new_rows: Tensor, row_ids: Tensor) -> Merge:
    new, ids = _whole(new_rows), _whole(row_ids)

    def merge(own: Tensor, part: Part) -> Tensor:
        rows, columns = part
        here = (ids >= rows.start) & (ids < rows.stop)
        return own.float().index_copy(0, ids[here] - rows.start, new[here][:, columns])

    return merge
