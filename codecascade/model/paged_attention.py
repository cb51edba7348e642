"""Attention of new tokens on the rows of a cache that is made of blocks.

Shapes: N tokens of several rows, packed without padding; B rows, S keys, G key-value heads, D head_dim.

Two ways lead to a row's keys. Blocks that are neighbours are a slice of the cache. Others are gathered, whole blocks
at a time, into one tensor of several rows, which on a CPU in bf16 costs nothing beside the products that follow. In
fp32, where a call of the fused kernel for each row is fast, that pays only for keys that stay in a core's own cache.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from itertools import groupby, takewhile
from typing import NamedTuple

import torch
from torch import Tensor

from codecascade.model.attention import Documents, cpu_bf16
from codecascade.model.cache import KeyValueCache
from codecascade.model.cpu.attention import recurring
from codecascade.model.paged.rows import (
    BatchedDecode,
    PassPart,
    PrefillChunk,
    SharedPrefixDecode,
    ShortChunk,
    SingleDecode,
    Span,
)

# Keys of a row that are read needlessly before another call of a kernel costs less.
_WORTH_A_CALL = 512
# Bytes of the keys of a row, and of all rows together, up to which they are gathered on a CPU in fp32.
_SHORT_ROW, _GATHERED = 1 << 16, 1 << 20
# The same of all rows in bf16, and of samples in any precision, padding included. The C library asks the system for
# each block of 32 MiB and more anew, and the system clears it: to gather 60 MB at once takes five times as long as in
# parts. Values are gathered with the keys, so this is a little less than half.
_GATHERED_AT_ONCE = 15 << 20


class _Samples(NamedTuple):
    """Rows that begin with the same blocks, the shortest first.

    Attributes:
        common: how many blocks that is.
    """

    rows: list[Span]
    common: int


class AttentionMetadata:
    """Where the new tokens of one pass go in a cache, and how they attend to it: worked out once for all layers.

    Args:
        documents: how many new tokens each row of the cache gets.
        tokens: the number of tokens in the pass. Those beyond the documents' are padding. None: no padding.

    Attributes:
        positions: (tokens,) int64, of each token in its row; 0 for padding.
    """

    def __init__(self, cache: KeyValueCache, documents: Documents, tokens: int | None = None) -> None:
        self.cache, self.documents = cache, documents
        cache.check(documents.lengths)
        self._count = sum(documents.lengths)
        padding = 0 if tokens is None else tokens - self._count
        self._device = cache.keys[0].device
        spans, first = [], 0
        for table, past, new in zip(cache.tables, cache.lengths, documents.lengths, strict=True):
            if new:
                spans.append(Span(table, past, past + new, first))
            first += new
        size = cache.block_size
        positions = [position for span in spans for position in range(span.past, span.end)]
        slots = [
            span.table[position // size] * size + position % size
            for span in spans
            for position in range(span.past, span.end)
        ]
        found = torch.tensor([positions + [0] * padding, slots + [0] * padding], device=self._device)
        self.positions, self._slots = found[0], found[1, : self._count]
        self._parts: list[PassPart] = []
        together: list[Span] = []
        for span in spans:
            count = span.end - span.past
            if count == 1:
                together.append(span)
            elif count <= ShortChunk.SIZES[-1] and cpu_bf16(cache.keys[0]):
                self._parts.append(ShortChunk(cache, span))
            else:
                self._parts.append(PrefillChunk(cache, span))
        # tokens of a row, and of rows together, that are better gathered than read where they are
        self._short = self._gathered = self._at_once = sys.maxsize
        memory = cache.keys[0]
        if self._device.type == "cpu":
            of_token = memory.shape[0] * memory.shape[-1] * memory.itemsize
            self._gathered = self._at_once = _GATHERED_AT_ONCE // of_token
            if memory.dtype != torch.bfloat16:
                self._short, self._gathered = _SHORT_ROW // of_token, _GATHERED // of_token
        together = list(self._without_shared(together))
        self._parts += [SingleDecode(cache, span) for span in together if span.end > self._short]
        for rows in self._grouped([span for span in together if span.end <= self._short]):
            self._parts.append(BatchedDecode(cache, rows) if len(rows) > 1 else SingleDecode(cache, rows[0]))
        # one part that has the tokens in their order
        self._is_whole = len(self._parts) == 1 and not isinstance(self._parts[0], SharedPrefixDecode)

    def _without_shared(self, spans: Sequence[Span]) -> Iterator[Span]:
        """The rows that are not decoded as samples of one prompt. Those that are become parts here."""
        size = self.cache.block_size
        prompts: list[_Samples] = []
        for _, found in groupby(spans, key=lambda span: span.table[0]):
            rows = sorted(found, key=lambda span: span.end)
            # blocks that are full and the same in all of them
            most = (rows[0].end - 1) // size
            columns = zip(*(span.table[:most] for span in rows), strict=True)
            common = sum(1 for _ in takewhile(lambda blocks: len(set(blocks)) == 1, columns))
            # a row's own tokens are gathered, which must not cost more than is saved
            own = rows[-1].end - common * size
            count = min(len(rows), max(1, self._at_once // self._padded(own)))
            while count > 1 and recurring(count, 4) * self._padded(own) > self._at_once:
                count -= 1
            parts = [_Samples(rows[index : index + count], common) for index in range(0, len(rows), count)]
            saved = (len(rows) - len(parts)) * common * size
            if saved <= _WORTH_A_CALL or own > max(self._short, common * size // 2):
                yield from rows
            else:
                prompts += parts
        # as many rows of each prompt, and prompts of like length
        prompts.sort(key=lambda prompt: (recurring(len(prompt.rows), 4), prompt.common))
        for each, alike in groupby(prompts, key=lambda prompt: recurring(len(prompt.rows), 4)):
            chosen: list[_Samples] = []
            largest = 0
            for prompt in alike:
                own = each * self._padded(prompt.rows[-1].end - prompt.common * size)
                gathered = max(own, self._padded(prompt.common * size))
                largest = max(largest, gathered)
                full = (len(chosen) + 1) * largest > self._at_once
                if chosen and (full or prompt.common > 2 * chosen[0].common):
                    self._parts.append(SharedPrefixDecode(self.cache, *zip(*chosen, strict=True)))
                    chosen, largest = [], gathered
                chosen.append(prompt)
            self._parts.append(SharedPrefixDecode(self.cache, *zip(*chosen, strict=True)))

    def _padded(self, tokens: int) -> int:
        """So many places are gathered for so many tokens of a row, or more if other rows have more."""
        size = self.cache.block_size
        return recurring(-(-tokens // size), 4) * size

    def _grouped(self, spans: Sequence[Span]) -> Iterator[list[Span]]:
        """Groups of rows of similar lengths: to pad them costs less than another call of a kernel."""
        order = sorted(spans, key=lambda span: span.end)
        while order:
            count, total = 0, 0
            for span in order:
                wasted = (count + 1) * span.end - total - span.end
                if self._device.type == "cpu" and wasted > _WORTH_A_CALL + 0.1 * (total + span.end):
                    break
                if count and recurring(count + 1, 2) * self._padded(span.end) > self._gathered:
                    break
                count, total = count + 1, total + span.end
            chosen, order = order[:count], order[count:]
            yield sorted(chosen, key=lambda span: span.first)

    def attend(self, layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Add (N, G, D) keys and values to the cache; attention of (N, heads, D) queries on their rows of it.

        All are stored before any is attended to, so that rows may share blocks that this very pass fills. What comes
        for padding is zero.
        """
        count = self._count
        if len(queries) == count:
            return self._attend(layer, queries, keys, values)
        attended = torch.zeros_like(queries)
        attended[:count] = self._attend(layer, queries[:count], keys[:count], values[:count])
        return attended

    def _attend(self, layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        memory = self.cache.memory[layer]
        for kept, new in zip(memory, (keys, values), strict=True):
            kept.flatten(1, 2).index_copy_(1, self._slots, new.transpose(0, 1))
        if self._is_whole:
            return self._parts[0].attend(queries, memory)
        attended = queries.new_empty(queries.shape)
        for part in self._parts:
            attended[part.tokens] = part.attend(queries, memory)
        return attended

    def finish(self) -> None:
        """The cache holds the tokens of this pass, in every layer."""
        self.cache.advance(self.documents.lengths)
