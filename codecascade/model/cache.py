"""The keys and values of tokens that were already seen."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from codecascade.model.config import LlamaConfig


class KeyValueCache:
    """Keys (rotated) and values of the rows of a batch, of every layer, in memory for ``capacity`` tokens a row.

    Rows begin at column 0 and have lengths of their own: there is no padding to hide.

    Attributes:
        keys, values: a tensor (B, num_key_value_heads, capacity, head_dim) for each layer.
        lengths: tokens of each row.
    """

    def __init__(self, keys: list[Tensor], values: list[Tensor], lengths: Sequence[int]) -> None:
        self.keys, self.values, self.lengths = keys, values, list(lengths)

    @classmethod
    def allocate(
        cls, config: LlamaConfig, batch: int, capacity: int, dtype: torch.dtype, device: torch.device
    ) -> KeyValueCache:
        """An empty cache for ``batch`` rows of up to ``capacity`` tokens."""
        # zeros, because what is beyond the end of a row is hidden by a weight of 0, and 0 times nan is nan
        shape = (batch, config.num_key_value_heads, capacity, config.head_dim)
        keys, values = (
            [torch.zeros(shape, dtype=dtype, device=device) for _ in range(config.num_hidden_layers)]
            for _ in range(2)
        )
        return cls(keys, values, [0] * batch)

    @property
    def capacity(self) -> int:
        """Tokens of a row that there is memory for."""
        return self.keys[0].shape[2]

    def check(self, new: Sequence[int]) -> None:
        """Whether ``new`` tokens fit into the rows.

        Raises:
            ValueError: they do not, or are not as many as there are rows.
        """
        if len(new) != len(self.lengths):
            raise ValueError(f"{len(new)} documents for the {len(self.lengths)} rows of a cache")
        longest = max(length + more for length, more in zip(self.lengths, new, strict=True))
        if longest > self.capacity:
            raise ValueError(f"{longest} tokens do not fit into the {self.capacity} columns of a cache")

    def advance(self, new: Sequence[int]) -> None:
        """Count ``new`` tokens of each row, which have been stored."""
        self.lengths = [length + more for length, more in zip(self.lengths, new, strict=True)]

    def retract(self, rows: Sequence[int]) -> None:
        """Forget the last token of these rows."""
        for row in rows:
            self.lengths[row] -= 1

    def expand(self, rows: Sequence[int]) -> KeyValueCache:
        """A cache whose row i is a copy of this one's row ``rows[i]``: rows repeated, reordered or left out."""
        index = torch.as_tensor(rows, device=self.keys[0].device)
        lengths = [self.lengths[row] for row in rows]
        filled = max(lengths)

        def pick(source: Tensor) -> Tensor:
            target = source.new_zeros((len(index), *source.shape[1:]))
            target[:, :, :filled] = source[index, :, :filled]
            return target

        return KeyValueCache(list(map(pick, self.keys)), list(map(pick, self.values)), lengths)
