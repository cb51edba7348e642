"""Weights that are read part by part, by whoever needs which part.

A model that is sharded over ranks is read so: no rank ever has a whole tensor. What is asked for is a :data:`Part` of
a tensor; who asks for small parts needs little memory, whatever the file is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

import torch
from torch import Tensor

from codecascade.model.config import LlamaConfig
from codecascade.model.weights import check_shapes, expected_shapes, model_names

_DEVIATION = 0.02

Part = tuple[slice, ...]
"""A slice ``start:stop`` for each of a tensor's first dimensions; empty for all of it."""


class Weights(Protocol):
    """Tensors by name, of which parts can be read."""

    def read(self, name: str, part: Part = ()) -> Tensor:
        """A part of a tensor, on the CPU. It may be memory-mapped, so it is not to be changed.

        Raises:
            UserError: the file is broken, or its values can't be read.
        """
        ...


class StoredWeights(Weights, Protocol):
    """The weights of a model: the names are Hugging Face's, and exactly those that the model has."""

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]: ...

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """All of them, whole, one after the other. Raises as :meth:`read`."""
        ...


class TensorWeights:
    """Weights in memory.

    Raises:
        UserError: tensors are missing, too many, or of another shape than ``config`` says.
    """

    def __init__(
        self, config: LlamaConfig, tensors: Mapping[str, Tensor], *, file: str = "the weights"
    ) -> None:
        shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        check_shapes(config, shapes, file=file)
        self._tensors = {name: tensors[stored] for name, stored in model_names(config, shapes).items()}
        self.shapes = {name: tuple(tensor.shape) for name, tensor in self._tensors.items()}

    def read(self, name: str, part: Part = ()) -> Tensor:
        return self._tensors[name].detach()[part]

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        return iter(self._tensors.items())


class RandomWeights:
    """Weights for a model that is only timed: matrices are drawn anew at each reading, norms are 1, biases 0."""

    def __init__(self, config: LlamaConfig) -> None:
        self.shapes = dict(expected_shapes(config))

    def read(self, name: str, part: Part = ()) -> Tensor:
        shape = [
            len(range(length)[part[axis]]) if axis < len(part) else length
            for axis, length in enumerate(self.shapes[name])
        ]
        if len(shape) == 1:
            return torch.zeros(shape) if name.endswith("bias") else torch.ones(shape)
        return torch.randn(shape).mul_(_DEVIATION)

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        return ((name, self.read(name)) for name in self.shapes)
