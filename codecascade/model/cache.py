"""The keys and values of tokens that were already seen."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from codecascade.model.config import LlamaConfig


class KeyValueCache:
    """Keys (rotated) and values of ``length`` columns of a batch, of every layer, in memory for ``capacity`` columns.

    Attributes:
        keys, values: a tensor (B, num_key_value_heads, capacity, head_dim) for each layer.
        length: columns that are filled; the model advances it at the end of a forward pass.
    """

    def __init__(self, keys: list[Tensor], values: list[Tensor], length: int = 0) -> None:
        self.keys, self.values, self.length = keys, values, length

    @classmethod
    def allocate(
        cls, config: LlamaConfig, batch: int, capacity: int, dtype: torch.dtype, device: torch.device
    ) -> KeyValueCache:
        """An empty cache for ``batch`` rows of up to ``capacity`` tokens."""
        shape = (batch, config.num_key_value_heads, capacity, config.head_dim)
        keys, values = (
            [torch.empty(shape, dtype=dtype, device=device) for _ in range(config.num_hidden_layers)]
            for _ in range(2)
        )
        return cls(keys, values)

    @property
    def capacity(self) -> int:
        """Columns that there is memory for."""
        return self.keys[0].shape[2]

    def append(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Store a layer's new ``keys`` and ``values`` (B, kv heads, T, D); views of all of them, old and new.

        Raises:
            ValueError: they do not fit.
        """
        end = self.length + keys.shape[2]
        if end > self.capacity:
            raise ValueError(f"{end} columns do not fit into a cache of {self.capacity}")
        self.keys[layer][:, :, self.length : end] = keys
        self.values[layer][:, :, self.length : end] = values
        return self.keys[layer][:, :, :end], self.values[layer][:, :, :end]

    def expand(self, rows: Tensor | Sequence[int]) -> KeyValueCache:
        """A cache whose row i is a copy of this one's row ``rows[i]``: rows repeated, reordered or left out."""
        index = torch.as_tensor(rows, device=self.keys[0].device)

        def pick(source: Tensor) -> Tensor:
            target = source.new_empty((len(index), *source.shape[1:]))
            target[:, :, : self.length] = source[index, :, : self.length]
            return target

        return KeyValueCache(list(map(pick, self.keys)), list(map(pick, self.values)), self.length)

    def crop(self, length: int) -> None:
        """Forget all columns from ``length`` on."""
        self.length = min(self.length, length)
