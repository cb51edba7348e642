"""The keys and values of tokens that were already seen, in blocks."""

from __future__ import annotations

import math
import mmap
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import torch
from torch import Tensor

from codecascade.model.config import LlamaConfig

BLOCK_SIZE = 16
"""Tokens of a block."""


@dataclass(frozen=True)
class BlockCopy:
    """The first ``length`` tokens of a block, to be copied into another."""

    source: int
    target: int
    length: int


class KeyValueCache:
    """Keys (rotated) and values of every layer, in blocks of tokens that rows are made of (Kwon et al. 2023).

    A row is a list of blocks. Rows may share blocks, have lengths of their own and grow block by block, so nothing
    is padded and nothing is copied to be shared. The heads come first in memory: the keys of a row whose blocks are
    neighbours are a slice of it, and those of other rows can be gathered block by block.

    Attributes:
        memory: a tensor (2, num_key_value_heads, blocks, block_size, head_dim) for each layer: keys and values, so
            that both are gathered at once.
        keys, values: the two halves of each.
        tables: the blocks of each row, in the order of its tokens.
        lengths: tokens of each row.
    """

    def __init__(
        self,
        memory: Sequence[Tensor],
        tables: Sequence[Sequence[int]],
        lengths: Sequence[int],
    ) -> None:
        self.memory, self.tables, self.lengths = memory, tables, list(lengths)
        self.keys, self.values = ([layer[half] for layer in memory] for half in (0, 1))

    @classmethod
    def allocate_blocks(
        cls,
        config: LlamaConfig,
        blocks: int,
        dtype: torch.dtype,
        device: torch.device,
        *,
        block_size: int = BLOCK_SIZE,
    ) -> KeyValueCache:
        """The memory of ``blocks`` blocks, and no rows yet; see :meth:`rows`."""
        # zeros, because what is beyond the end of a row is hidden by a weight of 0, and 0 times nan is nan
        shape = (2, config.num_key_value_heads, blocks, block_size, config.head_dim)
        return cls([_zeros(shape, dtype, device) for _ in range(config.num_hidden_layers)], [], [])

    @classmethod
    def allocate(
        cls, config: LlamaConfig, batch: int, capacity: int, dtype: torch.dtype, device: torch.device
    ) -> KeyValueCache:
        """An empty cache for ``batch`` rows of up to ``capacity`` tokens, none of which share anything."""
        size = min(BLOCK_SIZE, capacity)
        each = -(-capacity // size)
        cache = cls.allocate_blocks(config, batch * each, dtype, device, block_size=size)
        return cache.rows([range(row * each, (row + 1) * each) for row in range(batch)], [0] * batch)

    @property
    def block_size(self) -> int:
        """Tokens of a block."""
        return self.keys[0].shape[2]

    def rows(self, tables: Sequence[Sequence[int]], lengths: Sequence[int]) -> KeyValueCache:
        """A cache of other rows in the same memory."""
        return KeyValueCache(self.memory, tables, lengths)

    def copy_blocks(self, copies: Sequence[BlockCopy]) -> None:
        """Copy beginnings of blocks; the rest of their targets becomes zero."""
        if not copies:
            return
        sources, targets, lengths = torch.tensor(
            [(copy.source, copy.target, copy.length) for copy in copies], device=self.keys[0].device
        ).T
        # the rest may be what another row wrote there since, and no numbers
        rest = torch.arange(self.block_size, device=lengths.device) >= lengths[:, None]
        for memory in self.memory:
            memory[:, :, targets] = memory[:, :, sources].masked_fill_(rest[:, :, None], 0)

    def clear_blocks(self, blocks: Sequence[int]) -> None:
        """Zeros into ``blocks``, which hold what is no number."""
        if not blocks:
            return
        index = torch.tensor(list(blocks), device=self.keys[0].device)
        for memory in self.memory:
            memory[:, :, index] = 0

    def clear_tokens(self, row: int, tokens: range) -> None:
        """Zeros into the places of ``tokens`` of a row, which hold what is no number."""
        size, table = self.block_size, self.tables[row]
        places = [table[token // size] * size + token % size for token in tokens]
        index = torch.tensor(places, dtype=torch.int64, device=self.keys[0].device)
        for memory in self.memory:
            memory.flatten(2, 3)[:, :, index] = 0

    def check(self, new: Sequence[int]) -> None:
        """Whether ``new`` tokens fit into the blocks of the rows.

        Raises:
            ValueError: they do not, or are not as many as there are rows.
        """
        if len(new) != len(self.lengths):
            raise ValueError(f"{len(new)} documents for the {len(self.lengths)} rows of a cache")
        for table, length, more in zip(self.tables, self.lengths, new, strict=True):
            if length + more > len(table) * self.block_size:
                raise ValueError(f"{length + more} tokens do not fit into the {len(table)} blocks of a row")

    def advance(self, new: Sequence[int]) -> None:
        """Count ``new`` tokens of each row, which have been stored."""
        self.lengths = [length + more for length, more in zip(self.lengths, new, strict=True)]


def _zeros(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Zeros that on a CPU take memory only as they are first written to, as fresh pages of the system do.

    The pages are small ones. The keys of each head of each layer are apart, so that with pages of 2 MB, as NumPy asks
    for, the first token of all would take 2 MB for each of them: gigabytes for a model of 7 billion parameters, which
    have to be cleared before it is there.

    Raises:
        MemoryError: the system has not so much.
    """
    size = math.prod(shape) * dtype.itemsize
    if device.type != "cpu" or not size or not hasattr(mmap, "MAP_ANONYMOUS"):
        return torch.zeros(shape, dtype=dtype, device=device)
    try:
        memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError as error:
        raise MemoryError(str(error)) from None
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        # a kernel without such pages does not know the advice
        with suppress(OSError):
            memory.madvise(mmap.MADV_NOHUGEPAGE)
    return torch.frombuffer(memory, dtype=torch.uint8).view(dtype).view(shape)
