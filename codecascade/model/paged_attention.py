"""Attention of new tokens on the rows of a cache that is made of blocks.

Shapes: N tokens of several rows, packed without padding; B rows, S keys, G key-value heads, D head_dim.

Two ways lead to a row's keys. Blocks that are neighbours are a slice of the cache. Others are gathered, whole blocks
at a time, into one tensor of several rows, which on a CPU in bf16 costs nothing beside the products that follow. In
fp32, where a call of the fused kernel for each row is fast, that pays only for keys that stay in a core's own cache.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, takewhile

import torch
import torch.nn.functional as F
from torch import Tensor

from codecascade.model.attention import Documents, attend_last, cpu_bf16
from codecascade.model.cache import KeyValueCache

# Keys of a row that are read needlessly before another call of a kernel costs less.
_WORTH_A_CALL = 512
# Bytes of the keys of a row, and of all rows together, up to which they are gathered on a CPU in fp32.
_SHORT_ROW, _GATHERED = 1 << 16, 1 << 20


@dataclass(frozen=True)
class _Span:
    """The new tokens of one row."""

    table: Sequence[int]
    past: int
    end: int
    # of the pass
    first: int


class _Keys:
    """Where the keys of a row are, worked out once for all layers: a slice, or blocks to gather."""

    def __init__(self, cache: KeyValueCache, table: Sequence[int], length: int) -> None:
        self.length = length
        self._start: int | None = table[0] * cache.block_size
        count = -(-length // cache.block_size)
        if any(block != table[0] + index for index, block in enumerate(table[:count])):
            self._start = None
            self._index = torch.tensor(list(table[:count]), device=cache.keys[0].device)

    @property
    def contiguous(self) -> bool:
        return self._start is not None

    def of(self, memory: Tensor) -> Tensor:
        """(G, length, D)."""
        if self._start is not None:
            return memory.flatten(1, 2)[:, self._start : self._start + self.length]
        return memory.index_select(1, self._index).flatten(1, 2)[:, : self.length]


@dataclass(frozen=True)
class _Together:
    """Rows of like length with one new token each, whose keys are gathered into one tensor."""

    # (B,) int64, or None where all tokens of the pass are meant, in their order
    tokens: Tensor | None
    # (G * B * blocks,) int64 of blocks of all heads
    blocks: Tensor
    # (B, S) bool: what is beyond the end of a row
    hidden: Tensor

    def of(self, memory: Tensor) -> Tensor:
        """(B, G, S, D)."""
        heads, width = memory.shape[0], memory.shape[-1]
        found = memory.flatten(2).flatten(0, 1).index_select(0, self.blocks)
        return found.view(len(self.hidden), heads, -1, width)


@dataclass(frozen=True)
class _Shared:
    """Rows that begin with the same blocks, as samples of one prompt do: those are read once for all of them."""

    prefix: _Keys
    rest: _Together

    def attend(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """(B, heads, D) queries on the memory of a layer: one softmax over what is shared and what is not."""
        shared, own = self.prefix.of(keys), self.rest.of(keys)
        batch, groups = len(queries), len(shared)
        grouped = (queries * queries.shape[-1] ** -0.5).view(batch, groups, -1, queries.shape[-1])
        # (G, S, B * heads / G), then (B, G, heads / G, S)
        scores = torch.matmul(shared, grouped.transpose(0, 1).flatten(1, 2).transpose(-1, -2))
        before = scores.view(*scores.shape[:2], batch, -1).permute(2, 0, 3, 1)
        after = torch.matmul(own, grouped.transpose(-1, -2)).transpose(-1, -2)
        after = after.masked_fill(self.rest.hidden[:, None, None], -torch.inf)
        chances = torch.cat((before, after), -1).softmax(-1)
        length = self.prefix.length
        of_shared = chances[..., :length].transpose(0, 1).flatten(1, 2)
        attended = torch.matmul(of_shared, self.prefix.of(values))
        attended = attended.view(groups, batch, -1, queries.shape[-1]).transpose(0, 1)
        attended = attended + torch.matmul(chances[..., length:], self.rest.of(values))
        return attended.reshape(queries.shape)


class AttentionMetadata:
    """The tokens of one pass, as what comes next in the rows of a cache: worked out once, used by each layer.

    Attributes:
        positions: (N,) int64, of each token in its row.
    """

    def __init__(self, cache: KeyValueCache, documents: Documents) -> None:
        self.cache, self.documents = cache, documents
        cache.check(documents.lengths)
        self._device = cache.keys[0].device
        spans, first = [], 0
        for table, past, new in zip(cache.tables, cache.lengths, documents.lengths, strict=True):
            if new:
                spans.append(_Span(table, past, past + new, first))
            first += new
        size = cache.block_size
        positions = [position for span in spans for position in range(span.past, span.end)]
        slots = [
            span.table[position // size] * size + position % size
            for span in spans
            for position in range(span.past, span.end)
        ]
        self.positions, self._slots = torch.tensor([positions, slots], device=self._device)
        self._alone: list[tuple[slice, _Keys]] = []
        together: list[_Span] = []
        for span in spans:
            if span.end - span.past == 1:
                together.append(span)
            else:
                self._attend_alone(span)
        # tokens of a row, and of rows together, that are better gathered than read where they are
        self._short = self._gathered = sys.maxsize
        memory = cache.keys[0]
        if self._device.type == "cpu" and memory.dtype != torch.bfloat16:
            of_token = memory.shape[0] * memory.shape[-1] * memory.itemsize
            self._short, self._gathered = _SHORT_ROW // of_token, _GATHERED // of_token
        self._shared: list[_Shared] = []
        together = list(self._without_shared(together))
        for span in together:
            if span.end > self._short:
                self._attend_alone(span)
        together = [span for span in together if span.end <= self._short]
        if len(together) == 1:
            self._attend_alone(together.pop())
        self._groups = list(self._grouped(together, len(spans)))

    def _attend_alone(self, span: _Span) -> None:
        tokens = slice(span.first, span.first + span.end - span.past)
        self._alone.append((tokens, _Keys(self.cache, span.table, span.end)))

    def _without_shared(self, spans: Sequence[_Span]) -> Iterator[_Span]:
        """The rows of which it is not worth while to read a common beginning apart."""
        size = self.cache.block_size
        for _, found in groupby(spans, key=lambda span: span.table[0]):
            rows = list(found)
            # blocks that are full and the same in all of them
            most = min((span.end - 1) // size for span in rows)
            columns = zip(*(span.table[:most] for span in rows), strict=True)
            common = sum(1 for _ in takewhile(lambda blocks: len(set(blocks)) == 1, columns))
            # a row's own tokens are gathered, which must not cost more than is saved
            own = max(span.end for span in rows) - common * size
            if (len(rows) - 1) * common * size <= _WORTH_A_CALL or own > max(self._short, common * size // 2):
                yield from rows
                continue
            prefix = _Keys(self.cache, rows[0].table[:common], common * size)
            rest = [
                _Span(span.table[common:], span.past - common * size, span.end - common * size, span.first)
                for span in rows
            ]
            self._shared.append(_Shared(prefix, self._together(rest, whole=False)))

    def _grouped(self, spans: Sequence[_Span], rows: int) -> Iterator[_Together]:
        """Rows whose common width wastes little more than another call of a kernel costs."""
        order = sorted(spans, key=lambda span: span.end)
        while order:
            count, total = 0, 0
            for span in order:
                wasted = (count + 1) * span.end - total - span.end
                if self._device.type == "cpu" and wasted > _WORTH_A_CALL + 0.1 * (total + span.end):
                    break
                if count and (count + 1) * span.end > self._gathered:
                    break
                count, total = count + 1, total + span.end
            chosen, order = order[:count], order[count:]
            chosen.sort(key=lambda span: span.first)
            yield self._together(chosen, whole=count == rows)

    def _together(self, spans: Sequence[_Span], *, whole: bool) -> _Together:
        size, heads, memory = self.cache.block_size, self.cache.keys[0].shape[0], self.cache.keys[0].shape[1]
        width = -(-max(span.end for span in spans) // size)
        tables = [[*span.table[: -(-span.end // size)]] for span in spans]
        padded = torch.tensor([table + table[:1] * (width - len(table)) for table in tables])
        of_heads = padded[:, None] + torch.arange(heads)[:, None] * memory
        ends = torch.tensor([span.end for span in spans])
        return _Together(
            None if whole else torch.tensor([span.first for span in spans], device=self._device),
            of_heads.flatten().to(self._device),
            (torch.arange(width * size) >= ends[:, None]).to(self._device),
        )

    def attend(self, layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Add (N, G, D) keys and values to the cache; attention of (N, heads, D) queries on their rows of it.

        All are stored before any is attended to, so that rows may share blocks that this very pass fills.
        """
        kept, held = self.cache.keys[layer], self.cache.values[layer]
        kept.flatten(1, 2)[:, self._slots] = keys.transpose(0, 1)
        held.flatten(1, 2)[:, self._slots] = values.transpose(0, 1)
        if not self._alone and not self._shared and len(self._groups) == 1 and self._groups[0].tokens is None:
            group = self._groups[0]
            return attend_once(queries, group.of(kept), group.of(held), group.hidden)
        attended = torch.empty_like(queries)
        for tokens, row in self._alone:
            query = queries[tokens]
            if len(query) == 1:
                attended[tokens] = attend_once(query, row.of(kept)[None], row.of(held)[None], None)
            else:
                found = attend_last(query.transpose(0, 1), row.of(kept), row.of(held))
                attended[tokens] = found.transpose(0, 1)
        for part in self._shared:
            attended[part.rest.tokens] = part.attend(queries[part.rest.tokens], kept, held)
        for group in self._groups:
            assert group.tokens is not None
            found = attend_once(queries[group.tokens], group.of(kept), group.of(held), group.hidden)
            attended[group.tokens] = found
        return attended

    def finish(self) -> None:
        """The cache holds the tokens of this pass, in every layer."""
        self.cache.advance(self.documents.lengths)


def attend_once(queries: Tensor, keys: Tensor, values: Tensor, hidden: Tensor | None) -> Tensor:
    """One (B, heads, D) query of each row on (B, G, S, D) keys and values; not where ``hidden`` (B, S)."""
    # a group's heads become the rows of one product
    grouped = queries.view(*keys.shape[:2], -1, keys.shape[-1])
    if not cpu_bf16(queries):
        mask = None if hidden is None else ~hidden[:, None, None]
        return F.scaled_dot_product_attention(grouped, keys, values, mask).view_as(queries)
    # keys on the left: a bf16 product whose left side is thin takes three times as long
    scaled = grouped * queries.shape[-1] ** -0.5
    scores = torch.matmul(keys, scaled.transpose(-1, -2)).transpose(-1, -2)
    if hidden is not None:
        scores = scores.masked_fill(hidden[:, None, None], -torch.inf)
    return torch.matmul(scores.softmax(-1), values).view_as(queries)
