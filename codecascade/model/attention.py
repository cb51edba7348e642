"""Attention in the shapes that training and generation meet: whole rows, packed documents, the last tokens of a row.

Shapes: B rows, T queries, S keys, G key-value heads, D head_dim; N tokens of several rows, packed without padding.
Grouped-query attention: each key-value head serves ``heads / G`` query heads in a row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function

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
            blocks: Tensor = _BlockwiseAttention.apply(documents.lengths, *packed)  # type: ignore[no-untyped-call]
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


class _BlockwiseAttention(Function):
    """Causal attention of packed documents in bf16 on a CPU, with its gradients."""

    @staticmethod
    def forward(ctx: Any, lengths: Sequence[int], queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        attended = torch.empty_like(queries)
        for document in _documents(lengths, queries, keys, values, attended):
            document[3].copy_(_attend_in_blocks(*document[:3]))
        ctx.lengths = lengths
        ctx.save_for_backward(queries, keys, values)
        return attended

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        inputs = ctx.saved_tensors
        gradients = tuple(map(torch.empty_like, inputs))
        for document in _documents(ctx.lengths, gradient, *inputs, *gradients):
            for target, found in zip(document[4:], _gradients_in_blocks(*document[:4]), strict=True):
                target.copy_(found)
        return None, *gradients


def _documents(lengths: Sequence[int], *packed: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Views (heads, length, D) of each document."""
    parts = (torch.split(tensor.transpose(0, 1), list(lengths), 1) for tensor in packed)
    return zip(*parts, strict=True)


def _attend_in_blocks(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """:func:`attend_last` for bf16 on a CPU: two to three times as fast as the fused kernel in either dtype.

    Its products are large enough for the matrix library, and the keys after a block are left out of them.
    """
    groups, _, width = keys.shape
    transposed_keys = keys.transpose(1, 2).contiguous()
    grouped = queries.reshape(groups, -1, *queries.shape[1:])
    attended = torch.empty_like(grouped)
    for block, seen in _blocks(queries.shape[1], keys.shape[1]):
        block_queries = grouped[:, :, block].reshape(groups, -1, width)
        probabilities = _probabilities(block_queries, transposed_keys, block, seen)
        attended[:, :, block] = torch.bmm(probabilities, values[:, :seen]).view_as(attended[:, :, block])
    return attended.view_as(queries)


def _attend_in_few_shapes(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """The same for texts of all lengths: queries and keys are padded, so that the shapes of products recur.

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


def recurring(count: int, steps: int) -> int:
    """``count`` or the next larger number of which there are ``steps`` (a power of two) between powers of two."""
    step = 1 << max(0, count.bit_length() - steps.bit_length())
    return -(-count // step) * step


def _gradients_in_blocks(
    gradient: Tensor, queries: Tensor, keys: Tensor, values: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients by queries, keys and values. The probabilities are computed again.

    Args:
        gradient: by what :func:`_attend_in_blocks` gave, (heads, T, D) like the queries.
        keys, values: (G, T, D).
    """
    (groups, length, width), scale = keys.shape, keys.shape[-1] ** -0.5
    transposed_keys, transposed_values = (tensor.transpose(1, 2).contiguous() for tensor in (keys, values))
    grouped, grouped_gradient = (
        tensor.reshape(groups, -1, *tensor.shape[1:]) for tensor in (queries, gradient)
    )
    by_queries = torch.empty_like(grouped)
    by_keys, by_values = (torch.zeros_like(keys, dtype=torch.float32) for _ in range(2))
    for block, seen in _blocks(length, length):
        block_queries = grouped[:, :, block].reshape(groups, -1, width)
        block_gradient = grouped_gradient[:, :, block].reshape(groups, -1, width)
        probabilities = _probabilities(block_queries, transposed_keys, block, seen)
        by_values[:, :seen] += torch.bmm(probabilities.transpose(1, 2), block_gradient)
        by_probabilities = torch.bmm(block_gradient, transposed_values[:, :, :seen])
        by_scores = torch._softmax_backward_data(by_probabilities, probabilities, -1, probabilities.dtype)
        found = torch.bmm(by_scores, keys[:, :seen]).mul_(scale)
        by_queries[:, :, block] = found.view_as(by_queries[:, :, block])
        by_keys[:, :seen] += torch.bmm(by_scores.transpose(1, 2), block_queries)
    return by_queries.view_as(queries), by_keys.mul_(scale), by_values


def _blocks(length: int, total: int) -> Iterator[tuple[slice, int]]:
    """The blocks of the last ``length`` of ``total`` tokens, each with the number of tokens up to its end."""
    for start in range(0, length, _BLOCK):
        end = min(start + _BLOCK, length)
        yield slice(start, end), total - length + end


def _probabilities(queries: Tensor, transposed_keys: Tensor, block: slice, seen: int) -> Tensor:
    """(G, queries, seen) softmax of scaled scores: (G, queries, D) of each head one after another, (G, D, S) keys."""
    size, nothing = block.stop - block.start, queries.new_empty(())
    keys = transposed_keys[:, :, :seen]
    scores = torch.baddbmm(nothing, queries, keys, beta=0, alpha=queries.shape[-1] ** -0.5)
    above = queries.new_full((size, size), -torch.inf).triu(1)
    scores.view(len(queries), -1, size, seen)[..., seen - size :] += above
    return scores.softmax(-1)


def cpu_bf16(tensor: Tensor) -> bool:
    """Where the fused attention kernels are slow and products of the matrix library fast."""
    return tensor.device.type == "cpu" and tensor.dtype == torch.bfloat16
