"""Attention in the shapes that training and generation meet: whole rows, packed documents, the last tokens of a row.

Shapes: B rows, T queries, S keys, G key-value heads, D head_dim; N tokens of several rows, packed without padding.
Grouped-query attention: each key-value head serves ``heads / G`` query heads in a row.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from codecascade.model.cpu.attention import PackedAttention, recurring

# Queries at a time: their scores stay in a core's own cache.
_BLOCK = 64
# Of them, where they are fewer; and keys that there is room for in any case.
_SIZES, _ROOM = (8, 16, 32, 64), 8_192


class PassAttention(Protocol):
    """An attention that knows the documents of one pass, and how to come to their keys."""

    def attend(self, layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Of new tokens' (N, heads, D) queries and (N, G, D) keys and values, packed, make (N, heads, D)."""
        ...


@dataclass(frozen=True)
class Documents:
    """Packed documents, by their lengths in tokens, row after row of a batch: each attends to itself alone, causally.

    Attention is then made document by document: for short ones in long rows a tenth of the work that a mask takes.
    With a cache, document i is what comes next in row i of the cache (0 tokens: nothing).
    """

    lengths: tuple[int, ...]

    @classmethod
    def of(cls, document_ids: Tensor) -> Documents:
        """From (B, T) ids, best on the CPU: each run of equal ids within a row is a document."""
        starts = torch.ones_like(document_ids, dtype=torch.bool)
        starts[:, 1:] = document_ids[:, 1:] != document_ids[:, :-1]
        first_tokens = starts.flatten().nonzero().flatten().tolist()
        ends = [*first_tokens[1:], document_ids.numel()]
        return cls(tuple(end - start for start, end in zip(first_tokens, ends, strict=True)))


def attend(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None) -> Tensor:
    """(B, heads, T, D) queries on (B, G, S, D) keys and values; without a mask causal, and T = S."""
    gqa = queries.shape[1] != keys.shape[1]
    return F.scaled_dot_product_attention(queries, keys, values, mask, is_causal=mask is None, enable_gqa=gqa)


def attend_within(documents: Documents, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Causal attention of (B, T, heads, D) queries, keys and values within each document."""
    packed = [tensor.flatten(0, 1) for tensor in (queries, keys, values)]
    with torch.autocast(queries.device.type, enabled=False):
        if cpu_bf16(queries) and torch.is_grad_enabled():
            blocks: Tensor = PackedAttention.apply(documents.lengths, *packed)  # type: ignore[no-untyped-call]
            return blocks.view_as(queries)
        attended = [
            attend_last(*(tensor.transpose(0, 1) for tensor in document)).transpose(0, 1)
            for document in zip(
                *(torch.split(tensor, [*documents.lengths]) for tensor in packed), strict=True
            )
        ]
    return torch.cat(attended).view_as(queries)


def attend_last(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """(heads, T, D) queries, the last T of S tokens, on (G, S, D) keys and values, causally."""
    if cpu_bf16(queries):
        if fused_is_fast() and queries.shape[1] == keys.shape[1]:
            return attend_fused(queries, keys, values)
        return _attend_in_few_shapes(queries, keys, values)
    length, total = queries.shape[1], keys.shape[1]
    mask = None
    if length < total:
        mask = torch.ones(length, total, dtype=torch.bool, device=queries.device).tril(total - length)
    return attend(queries[None], keys[None], values[None], mask)[0]


@cache
def fused_is_fast() -> bool:
    """Whether PyTorch's fused kernel is the fastest way in bf16 on this CPU.

    With AMX it takes half the time of :func:`_attend_in_few_shapes`, without up to three times as much.
    """
    return bool(torch.cpu.get_capabilities().get("amx_tile"))


def attend_fused(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None) -> Tensor:
    """(heads, T, D) queries on (G, S, D) keys and values by the fused kernel, in few shapes.

    Args:
        mask: (:func:`padded_queries` of T, S), added to the scores; None for causal attention, T = S.
    """
    length = queries.shape[1]
    queries = F.pad(queries, (0, 0, 0, padded_queries(length) - length))
    if mask is None:
        missing = -keys.shape[1] % _SIZES[0]
        if missing:
            keys, values = (F.pad(tensor, (0, 0, 0, missing)) for tensor in (keys, values))
    found = F.scaled_dot_product_attention(
        queries[None], keys[None], values[None], mask, is_causal=mask is None, enable_gqa=True
    )
    return found[0, :, :length]


def padded_queries(count: int) -> int:
    """The number of queries that the fused kernel gets for ``count``."""
    return _SIZES[0] * recurring(-(-count // _SIZES[0]), 8)


def _attend_in_few_shapes(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """:func:`attend_last` for bf16 on a CPU by the matrix library, two to three times as fast as the fused kernel
    without AMX. Queries and keys are padded, so that the shapes of products recur for texts of all lengths.

    The matrix library writes machine code for each shape that it meets, strides included, and keeps it: texts of a
    thousand lengths took more time and memory for that than for their products.
    """
    (groups, total, width), length = keys.shape, queries.shape[1]
    past, nothing = total - length, queries.new_empty(())
    sizes = [_BLOCK] * (length // _BLOCK)
    if rest := length % _BLOCK:
        sizes.append(next(size for size in _SIZES if size >= rest))
    columns = _padded_keys(past + sum(sizes))
    # the distance of rows is the same for all
    room = max(_ROOM, 1 << (columns - 1).bit_length())
    padded_keys = keys.new_empty(groups, width, room)
    padded_values = values.new_empty(groups, room, width)
    padded_keys[:, :, :total], padded_keys[:, :, total:columns] = keys.transpose(1, 2), 0
    padded_values[:, :total], padded_values[:, total:columns] = values, 0
    grouped = queries.reshape(groups, -1, length, width)
    attended = torch.empty_like(grouped)
    start = 0
    for size in sizes:
        block = grouped[:, :, start : start + size]
        count = block.shape[2]
        if count < size:
            block = F.pad(block, (0, 0, 0, size - count))
        first = past + start
        seen = _padded_keys(first + size)
        scores = torch.baddbmm(
            nothing,
            block.reshape(groups, -1, width),
            padded_keys[:, :, :seen],
            beta=0,
            alpha=width**-0.5,
        )
        above = scores.new_full((size, seen - first), -torch.inf).triu(1)
        scores.view(groups, -1, size, seen)[..., first:] += above
        found = torch.bmm(scores.softmax(-1), padded_values[:, :seen]).view(groups, -1, size, width)
        attended[:, :, start : start + count] = found[:, :, :count]
        start += size
    return attended.view_as(queries)


def _padded_keys(count: int) -> int:
    """The number of keys that a product with ``count`` gets."""
    return _BLOCK * recurring(-(-count // _BLOCK), 8)


def cpu_bf16(tensor: Tensor) -> bool:
    """Where the fused attention kernels are slow and products of the matrix library fast."""
    return tensor.device.type == "cpu" and tensor.dtype == torch.bfloat16
