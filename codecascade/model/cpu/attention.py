"""Causal attention of packed documents in bf16 on a CPU, and its gradients, by products of the matrix library.

Documents of like lengths are computed together, padded to one length. A document on its own has products so small
that to start them takes longer than to make them. Padding stands behind a document, where no token of it looks.

Shapes: n documents of L tokens, G key-value heads, R query heads for each of them, D head_dim; N tokens, packed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

# Queries at a time: the keys behind them are left out of the products.
_BLOCK = 64
# Documents are padded to a multiple of this.
_STEP = 32
# Numbers in the scores of one block of queries, of all documents that are computed together.
_MOST_SCORES = 1 << 21


def recurring(count: int, steps: int) -> int:
    """``count`` or the next larger number of which there are ``steps`` (a power of two) between powers of two."""
    step = 1 << max(0, count.bit_length() - steps.bit_length())
    return -(-count // step) * step


@dataclass(frozen=True)
class Group:
    """Documents that are computed together, as ``count`` documents of ``length`` tokens.

    Attributes:
        source: the packed tokens that they are taken from: a range, or for each of the ``count * length`` places its
            token (a place that is padding may have any).
        places, tokens: the places that are no padding, and their tokens; None if there is no padding.
        padding: the places that are; None likewise.
    """

    count: int
    length: int
    source: slice | Tensor
    places: Tensor | None = None
    tokens: Tensor | None = None
    padding: Tensor | None = None

    def take(self, packed: Tensor) -> Tensor:
        """(N, heads, D) to (n, L, heads, D)."""
        taken = packed[self.source] if isinstance(self.source, slice) else packed.index_select(0, self.source)
        return taken.view(self.count, self.length, *packed.shape[1:])

    def put(self, packed: Tensor, found: Tensor) -> None:
        """The inverse of :meth:`take`; padding is dropped."""
        found = found.reshape(-1, *packed.shape[1:])
        if isinstance(self.source, slice):
            packed[self.source] = found
        elif self.places is None or self.tokens is None:
            packed.index_copy_(0, self.source, found)
        else:
            packed.index_copy_(0, self.tokens, found.index_select(0, self.places))


@lru_cache(maxsize=4)
def groups_of(lengths: tuple[int, ...], heads: int) -> tuple[Group, ...]:
    """How packed documents of these lengths are computed together. All layers of a pass ask for the same."""
    if len(set(lengths)) == 1:
        length, together = lengths[0], _together(lengths[0], heads)
        return tuple(
            Group(count, length, slice(first * length, (first + count) * length))
            for first in range(0, len(lengths), together)
            for count in [min(together, len(lengths) - first)]
        )
    alike: dict[int, list[tuple[int, int]]] = {}
    start = 0
    for length in lengths:
        # documents of no token have nothing to compute
        if length:
            alike.setdefault(_STEP * recurring(-(-length // _STEP), 8), []).append((start, length))
        start += length
    return tuple(
        _padded(documents[first : first + together], length)
        for length, documents in sorted(alike.items())
        for together in [_together(length, heads)]
        for first in range(0, len(documents), together)
    )


def _together(length: int, heads: int) -> int:
    return max(1, _MOST_SCORES // max(1, heads * min(length, _BLOCK) * length))


def _padded(documents: Sequence[tuple[int, int]], length: int) -> Group:
    """Documents as (start, tokens), padded to ``length``. Their number is padded, too.

    The matrix library writes machine code for each shape that it meets, and keeps it.
    """
    count = recurring(len(documents), 4)
    starts, sizes = torch.tensor([*documents, *[(0, 0)] * (count - len(documents))]).T[..., None]
    within = torch.arange(length)
    real = (within < sizes).flatten()
    source = torch.where(within < sizes, starts + within, 0).flatten()
    if bool(real.all()):
        return Group(count, length, source)
    places = real.nonzero().flatten()
    return Group(count, length, source, places, source[places], (~real).nonzero().flatten())


class PackedAttention(Function):
    """(N, heads, D) queries on (N, G, D) keys and values, within documents of ``lengths``, and its gradients."""

    @staticmethod
    def forward(ctx: Any, lengths: Sequence[int], queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        attended = torch.empty_like(queries)
        for group in groups_of(tuple(lengths), queries.shape[1]):
            group.put(attended, _attend(*(group.take(tensor) for tensor in (queries, keys, values))))
        ctx.lengths = tuple(lengths)
        ctx.save_for_backward(queries, keys, values)
        return attended

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        inputs = ctx.saved_tensors
        gradients = tuple(map(torch.empty_like, inputs))
        for group in groups_of(ctx.lengths, gradient.shape[1]):
            outer = group.take(gradient)
            if group.padding is not None:
                # what padding attends to must get no gradient from it
                outer.flatten(0, 1).index_fill_(0, group.padding, 0)
            found = _gradients(outer, *(group.take(tensor) for tensor in inputs))
            for packed, part in zip(gradients, found, strict=True):
                group.put(packed, part)
        return None, *gradients


def _attend(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """(n, L, heads, D) of (n, L, heads, D) and twice (n, L, G, D)."""
    transposed_keys, values = _transposed(keys), _by_head(values)
    grouped, attended = _by_group(queries, keys), torch.empty_like(queries)
    by_group = _by_group(attended, keys)
    for block, seen in _blocks(queries.shape[1]):
        probabilities = _probabilities(_rows(grouped, block), transposed_keys[:, :, :seen], block)
        _put_rows(by_group, block, torch.bmm(probabilities, values[:, :seen]))
    return attended


def _gradients(
    gradient: Tensor, queries: Tensor, keys: Tensor, values: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients by queries, keys and values; ``gradient`` is by what :func:`_attend` gave.

    The probabilities are computed again. Those by keys and values are added up over the blocks, in fp32.
    """
    shape, scale, nothing = keys.shape, keys.shape[-1] ** -0.5, keys.new_empty(())
    grouped, grouped_gradient = _by_group(queries, keys), _by_group(gradient, keys)
    by_queries = torch.empty_like(queries)
    by_group = _by_group(by_queries, keys)
    transposed_values, keys = _transposed(values), _by_head(keys)
    transposed_keys = keys.transpose(1, 2).contiguous()
    by_keys, by_values = (torch.zeros_like(keys, dtype=torch.float32) for _ in range(2))
    for block, seen in _blocks(queries.shape[1]):
        rows, outer = _rows(grouped, block), _rows(grouped_gradient, block)
        probabilities = _probabilities(rows, transposed_keys[:, :, :seen], block)
        by_values[:, :seen] += torch.bmm(probabilities.transpose(1, 2), outer)
        by_probabilities = torch.bmm(outer, transposed_values[:, :, :seen])
        by_scores = torch._softmax_backward_data(by_probabilities, probabilities, -1, probabilities.dtype)
        found = torch.baddbmm(nothing, by_scores, keys[:, :seen], beta=0, alpha=scale)
        _put_rows(by_group, block, found)
        by_keys[:, :seen] += torch.bmm(by_scores.transpose(1, 2), rows)
    by_keys, by_values = (
        found.view(shape[0], shape[2], shape[1], shape[3]).transpose(1, 2).to(queries.dtype)
        for found in (by_keys.mul_(scale), by_values)
    )
    return by_queries, by_keys, by_values


def _probabilities(rows: Tensor, transposed_keys: Tensor, block: slice) -> Tensor:
    """(n G, queries R, S) softmax of the scaled scores of (n G, queries R, D) and (n G, D, S)."""
    size, seen = block.stop - block.start, transposed_keys.shape[2]
    scores = torch.baddbmm(rows.new_empty(()), rows, transposed_keys, beta=0, alpha=rows.shape[-1] ** -0.5)
    scores.view(len(rows), size, -1, seen)[..., block.start :] += _above(size, rows.dtype)
    return scores.softmax(-1)


@lru_cache(maxsize=64)
def _above(size: int, dtype: torch.dtype) -> Tensor:
    """(queries, 1, keys): -inf for the keys behind a query."""
    return torch.full((size, size), -torch.inf, dtype=dtype).triu(1)[:, None]


def _blocks(length: int) -> Iterator[tuple[slice, int]]:
    """Blocks of queries, each with the number of keys up to its end."""
    for start in range(0, length, _BLOCK):
        end = min(start + _BLOCK, length)
        yield slice(start, end), end


def _by_group(queries: Tensor, keys: Tensor) -> Tensor:
    """A view (n, G, L, R, D) of (n, L, heads, D)."""
    rows, length, groups = keys.shape[:3]
    return queries.view(rows, length, groups, -1, keys.shape[3]).transpose(1, 2)


def _rows(grouped: Tensor, block: slice) -> Tensor:
    """(n G, queries R, D) of a block."""
    part = grouped[:, :, block]
    return part.reshape(len(part) * part.shape[1], -1, part.shape[-1])


def _put_rows(grouped: Tensor, block: slice, found: Tensor) -> None:
    part = grouped[:, :, block]
    part.copy_(found.view(part.shape))


def _by_head(tensor: Tensor) -> Tensor:
    """(n, L, G, D) to (n G, L, D)."""
    return tensor.transpose(1, 2).reshape(-1, tensor.shape[1], tensor.shape[3])


def _transposed(tensor: Tensor) -> Tensor:
    """(n, L, G, D) to (n G, D, L)."""
    return tensor.permute(0, 2, 3, 1).reshape(-1, tensor.shape[3], tensor.shape[1])
