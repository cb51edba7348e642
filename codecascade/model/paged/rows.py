"""How the new tokens of a pass attend to the keys and values of their rows: one class for each way.

A prefill is a :class:`PrefillChunk`, a text with its draft a :class:`ShortChunk`. Rows with one new token each are
decoded one by one (:class:`SingleDecode`), together (:class:`BatchedDecode`), or together behind a prefix that is
read once (:class:`SharedPrefixDecode`).

PyTorch's fused kernel does the attention: it starts threads once, where two products and a softmax start them three
times. Numbers of rows and of keys are padded to numbers that recur, because the matrix library keeps machine code for
each shape that it meets.

Shapes: B rows, S keys, G key-value heads, D head_dim; r = heads / G.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from codecascade.model.attention import (
    attend_fused,
    attend_last,
    cpu_bf16,
    fused_is_fast,
    padded_queries,
)
from codecascade.model.cache import KeyValueCache
from codecascade.model.cpu.attention import recurring


@dataclass(frozen=True)
class Span:
    """The new tokens of one row.

    Attributes:
        table: the row's blocks in the cache.
        past, end: the new tokens are those from ``past`` up to ``end`` of the row.
        first: the index of the first of them among all tokens of the pass.
    """

    table: Sequence[int]
    past: int
    end: int
    first: int


class RowKeys:
    """Where the keys and values of a row are in each layer's cache: in one slice, or in blocks to gather."""

    def __init__(self, cache: KeyValueCache, table: Sequence[int], length: int) -> None:
        self.length = length
        self._start: int | None = table[0] * cache.block_size
        count = -(-length // cache.block_size)
        if any(block != table[0] + index for index, block in enumerate(table[:count])):
            self._start = None
            self._index = torch.tensor(list(table[:count]), device=cache.keys[0].device)

    def of(self, memory: Tensor) -> Tensor:
        """(2, G, length, D): keys and values."""
        if self._start is not None:
            return memory.flatten(2, 3)[:, :, self._start : self._start + self.length]
        return memory.index_select(2, self._index).flatten(2, 3)[:, :, : self.length]


class PassPart(Protocol):
    """Some of a pass's tokens, and how they attend to the cache."""

    @property
    def tokens(self) -> slice | Tensor:
        """Which tokens of the pass they are: a slice, or int64 indices."""
        ...

    def attend(self, queries: Tensor, memory: Tensor) -> Tensor:
        """What the part's own tokens attend to, (tokens, heads, D).

        Args:
            queries: (N, heads, D), of all tokens of the pass.
            memory: (2, G, blocks, block_size, D), the keys and values of one layer.
        """
        ...


class SingleDecode:
    """Decodes one row: it has one new token."""

    def __init__(self, cache: KeyValueCache, span: Span) -> None:
        size, length = cache.block_size, span.end
        self.tokens = slice(span.first, span.first + 1)
        self._mask: Tensor | None = None
        if cpu_bf16(cache.keys[0]):
            # whole blocks, or each next token would be a shape of its own
            length = -(-span.end // size) * size
            self._mask = _bias((torch.arange(length) < span.end)[None, None, None], torch.bfloat16)
        self._keys = RowKeys(cache, span.table, length)

    def attend(self, queries: Tensor, memory: Tensor) -> Tensor:
        """See :class:`PassPart`."""
        keys, values = self._keys.of(memory)
        return attend_once(queries[self.tokens], keys[None], values[None], self._mask)


class ShortChunk:
    """A few new tokens of one row, such as a token and its draft, on a CPU in bf16: the keys are read in place."""

    SIZES = (8, 16)

    def __init__(self, cache: KeyValueCache, span: Span) -> None:
        size, count = cache.block_size, span.end - span.past
        self.tokens = slice(span.first, span.first + count)
        padded = next(number for number in self.SIZES if number >= count)
        self._padding = padded - count
        whole = -(-span.end // size) * size
        self._keys = RowKeys(cache, span.table, whole)
        positions = torch.arange(span.past, span.past + padded)
        self._seen = (torch.arange(whole) <= positions[:, None])[None]
        self._mask: Tensor | None = None

    def attend(self, queries: Tensor, memory: Tensor) -> Tensor:
        """See :class:`PassPart`."""
        keys, values = self._keys.of(memory)
        padded = F.pad(queries[self.tokens], (0, 0, 0, 0, 0, self._padding))
        tokens, groups = len(padded), len(keys)
        # the heads of a group are queries of it, one after another: (1, G, r * T, D)
        grouped = padded.transpose(0, 1).reshape(1, groups, -1, padded.shape[-1])
        if self._mask is None:
            self._mask = _bias(self._seen.repeat(1, grouped.shape[2] // tokens, 1)[:, None], memory.dtype)
        found = F.scaled_dot_product_attention(grouped, keys[None], values[None], self._mask)
        found = found.reshape(-1, tokens, padded.shape[-1]).transpose(0, 1)
        return found[: tokens - self._padding]


class PrefillChunk:
    """Many new tokens of one row: its prompt, or a part of that."""

    def __init__(self, cache: KeyValueCache, span: Span) -> None:
        count, length, size = span.end - span.past, span.end, cache.block_size
        self.tokens = slice(span.first, span.first + count)
        self._mask: Tensor | None = None
        if span.past and cpu_bf16(cache.keys[0]) and fused_is_fast():
            # whole blocks, which recur
            length = -(-span.end // size) * size
            positions = torch.arange(span.past, span.past + padded_queries(count))
            self._mask = _bias(torch.arange(length) <= positions[:, None], cache.keys[0].dtype)
        self._keys = RowKeys(cache, span.table, length)

    def attend(self, queries: Tensor, memory: Tensor) -> Tensor:
        """See :class:`PassPart`."""
        (keys, values), own = self._keys.of(memory), queries[self.tokens].transpose(0, 1)
        if self._mask is None:
            return attend_last(own, keys, values).transpose(0, 1)
        return attend_fused(own, keys, values, self._mask).transpose(0, 1)


class BatchedDecode:
    """Decodes rows of similar lengths together: their keys are gathered into one tensor.

    Args:
        rows: pad to this number of rows by repeating the last one; None: to a number that recurs.
    """

    def __init__(self, cache: KeyValueCache, spans: Sequence[Span], *, rows: int | None = None) -> None:
        size, device = cache.block_size, cache.keys[0].device
        self._count = len(spans)
        rows = rows or recurring(len(spans), 2)
        spans = [*spans, *[spans[-1]] * (rows - len(spans))]
        width = recurring(-(-max(span.end for span in spans) // size), 4)
        self._blocks = _block_index(cache, [span.table[: -(-span.end // size)] for span in spans], width)
        ends = torch.tensor([span.end for span in spans])
        # (B, 1, 1, S)
        seen = (torch.arange(width * size) < ends[:, None])[:, None, None]
        self.mask = _bias(seen, cache.keys[0].dtype).to(device)
        self.padded_tokens = torch.tensor([span.first for span in spans], device=device)
        self.tokens = self.padded_tokens[: self._count]
        self._ordered = all(span.first == index for index, span in enumerate(spans))

    def of(self, memory: Tensor) -> Tensor:
        """(2, B, G, S, D): keys and values."""
        return _gather(memory, self._blocks, len(self.mask))

    def attend(self, queries: Tensor, memory: Tensor) -> Tensor:
        """See :class:`PassPart`."""
        own = queries
        if not (self._ordered and len(queries) == len(self.padded_tokens)):
            own = queries.index_select(0, self.padded_tokens)
        keys, values = self.of(memory)
        return attend_once(own, keys, values, self.mask)[: self._count]


class SharedPrefixDecode:
    """Decodes the samples of several prompts: the blocks that the samples of a prompt share are read once.

    Args:
        prompts: the rows of each prompt. Prompts with fewer rows than the others repeat their last one.
        common: for each prompt, how many blocks its rows share, from the first on.
    """

    def __init__(
        self, cache: KeyValueCache, prompts: Sequence[Sequence[Span]], common: Sequence[int]
    ) -> None:
        size, device = cache.block_size, cache.keys[0].device
        each = recurring(max(map(len, prompts)), 4)
        self._prompts, self._each = len(prompts), each
        rest: list[Span] = []
        real: list[int] = []
        for rows, blocks in zip(prompts, common, strict=True):
            real += range(len(rest), len(rest) + len(rows))
            for span in [*rows, *[rows[-1]] * (each - len(rows))]:
                before = blocks * size
                rest.append(Span(span.table[blocks:], span.past - before, span.end - before, span.first))
        self._rest = BatchedDecode(cache, rest, rows=len(rest))
        self._real = None if len(real) == len(rest) else torch.tensor(real, device=device)
        self.tokens = self._rest.tokens if self._real is None else self._rest.tokens[self._real]
        width = recurring(max(common), 4)
        tables = [rows[0].table[:blocks] for rows, blocks in zip(prompts, common, strict=True)]
        self._blocks = _block_index(cache, tables, width)
        ends = torch.tensor(common)[:, None] * size
        # (P, 1, 1, S)
        seen = (torch.arange(width * size) < ends)[:, None, None]
        self._mask = _bias(seen, cache.keys[0].dtype).to(device)

    def attend(self, queries: Tensor, memory: Tensor) -> Tensor:
        """See :class:`PassPart`. One softmax goes over what is shared and what is not."""
        prompts, each, width = self._prompts, self._each, queries.shape[-1]
        own = queries.index_select(0, self._rest.tokens)
        shared_keys, shared_values = _gather(memory, self._blocks, prompts)
        own_keys, own_values = self._rest.of(memory)
        groups = shared_keys.shape[1]
        grouped = own.view(prompts, each, groups, -1, width)
        # (P, G, rows * r, D), and (B, G, r, D)
        of_prompt = grouped.transpose(1, 2).reshape(prompts, groups, -1, width)
        before, mass_before = _attend_with_mass(of_prompt, shared_keys, shared_values, self._mask)
        after, mass_after = _attend_with_mass(grouped.flatten(0, 1), own_keys, own_values, self._rest.mask)
        before = before.reshape(prompts, groups, each, -1, width).transpose(1, 2).flatten(0, 1)
        mass_before = mass_before.reshape(prompts, groups, each, -1).transpose(1, 2).flatten(0, 1)
        share = torch.sigmoid(mass_before - mass_after)[..., None]
        found = torch.lerp(after.float(), before.float(), share).to(queries.dtype).flatten(1, 2)
        return found if self._real is None else found[self._real]


def _attend_with_mass(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """(B, G, T, D) queries on (B, G, S, D): what they attend to, and the logarithm of the sum of all weights, fp32.

    Two such results for other keys are one for both, weighted by their sums.
    """
    if queries.device.type == "cpu":
        flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
        attended, mass = flash(queries, keys, values, 0.0, False, attn_mask=mask)
        return attended, mass
    scores = torch.matmul(queries * queries.shape[-1] ** -0.5, keys.transpose(-1, -2)).float() + mask
    return torch.matmul(scores.softmax(-1).to(values.dtype), values), scores.logsumexp(-1)


def _block_index(cache: KeyValueCache, tables: Sequence[Sequence[int]], width: int) -> Tensor:
    """(2 * rows * G * width,) int64: the blocks of all heads, of keys and then of values.

    Rows that have fewer are filled up with their first one.
    """
    halves, heads, count = cache.memory[0].shape[:3]
    padded = torch.tensor([[*table, *[table[0]] * (width - len(table))] for table in tables])
    of_heads = padded[:, None] + torch.arange(heads)[:, None] * count
    both = of_heads[None] + torch.arange(halves)[:, None, None, None] * heads * count
    return both.flatten().to(cache.memory[0].device)


def _gather(memory: Tensor, blocks: Tensor, rows: int) -> Tensor:
    """(2, rows, G, S, D) of the memory of a layer."""
    found = memory.flatten(3).flatten(0, 2).index_select(0, blocks)
    return found.view(2, rows, memory.shape[1], -1, memory.shape[-1])


def _bias(seen: Tensor, dtype: torch.dtype) -> Tensor:
    """What is added to scores: 0 where a token may be seen."""
    return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill_(~seen, -torch.inf)


def attend_once(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
    """One (B, heads, D) query of each row on (B, G, S, D) keys and values.

    Args:
        mask: (B, 1, 1, S), added to the scores; or bool, True where a token may be seen.
    """
    # a group's heads become queries of it
    grouped = queries.view(*keys.shape[:2], -1, keys.shape[-1])
    return F.scaled_dot_product_attention(grouped, keys, values, mask).reshape(queries.shape)
