"""Attention of a pass's tokens on the blocks of the cache, in compiled code.

Shapes as in :mod:`~codecascade.generation.engine.compiled.kernels`; S keys of a piece.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import carray

from codecascade.generation.engine.compiled.intrinsics import add_to, compiled, narrow, pointer, widen
from codecascade.generation.engine.compiled.kernels import exponential, four_by_one

_ZERO, _NONE = np.float32(0), np.float32(-np.inf)


@compiled
def turn(x: Any, weight: Any, eps: float, cos: Any, sin: Any, rotates: bool) -> None:
    """Norm one head (D,) of a token if there is a weight for it, and rotate it, in place."""
    size = x.shape[0]
    if weight.shape[0]:
        total = _ZERO
        for d in range(size):
            total += x[d] * x[d]
        scale = np.float32(1.0 / np.sqrt(np.float64(total) / size + eps))
        for d in range(size):
            x[d] *= scale * weight[d]
    if rotates:
        half = size // 2
        for d in range(half):
            low, high = x[d], x[d + half]
            x[d] = low * cos[d] + high * sin[d]
            x[d + half] = high * cos[d + half] + low * sin[d + half]


@compiled
def store(memory: Any, block: int, offset: int, x: Any) -> None:
    """One head (D,) of a token into ``memory`` (blocks, block_size, D)."""
    target = memory[block, offset]
    for d in range(x.shape[0]):
        target[d] = narrow(x[d], target[d])


@compiled
def attend_piece(
    queries: Any,
    keys: Any,
    values: Any,
    table: Any,
    start: int,
    end: int,
    scale: float,
    scores: Any,
    found: Any,
) -> None:
    """Attention of r heads on the keys from ``start`` (the beginning of a block) up to ``end``.

    Args:
        queries: (r, D).
        keys, values: (blocks, block_size, D).
        table: the row's blocks.
        scores: (r, S), scratch.
        found: (r, D + 2): the weighted sum of the values, then the sum of the weights, then the greatest score.
    """
    size, width, count = keys.shape[1], queries.shape[1], end - start
    for at in range(0, count, size):
        block = keys[table[(start + at) // size]]
        for h in range(queries.shape[0]):
            # whole blocks: what is beyond the end is not looked at
            for j in range(0, size, 4):
                four_by_one(block, j, queries[h], scores[h], at + j)
    for h in range(queries.shape[0]):
        greatest, total, row, target = _NONE, _ZERO, scores[h], found[h]
        for j in range(count):
            row[j] *= scale
            greatest = row[j] if row[j] > greatest else greatest
        for j in range(count):
            row[j] = exponential(row[j] - greatest)
        for j in range(count):
            total += row[j]
        for d in range(width):
            target[d] = _ZERO
        target[width], target[width + 1] = total, greatest
    for at in range(0, count, size):
        block = values[table[(start + at) // size]]
        here = min(size, count - at)
        for h in range(queries.shape[0]):
            weights, target = scores[h], found[h]
            whole = here - here % 4
            for j in range(0, whole, 4):
                p0, p1, p2, p3 = (
                    weights[at + j],
                    weights[at + j + 1],
                    weights[at + j + 2],
                    weights[at + j + 3],
                )
                v0, v1, v2, v3 = block[j], block[j + 1], block[j + 2], block[j + 3]
                for d in range(width):
                    target[d] += p0 * widen(v0[d]) + p1 * widen(v1[d]) + p2 * widen(v2[d]) + p3 * widen(v3[d])
            for j in range(whole, here):
                weight, value = weights[at + j], block[j]
                for d in range(width):
                    target[d] += weight * widen(value[d])


@compiled
def join(parts: Any, head: int, count: int, out: Any) -> None:
    """What one head attended to in the first ``count`` of (parts, heads, D + 2), as one (D,)."""
    width = out.shape[0]
    greatest, total = _NONE, _ZERO
    for i in range(count):
        score = parts[i, head, width + 1]
        greatest = score if score > greatest else greatest
    for d in range(width):
        out[d] = _ZERO
    for i in range(count):
        part = parts[i, head]
        share = exponential(part[width + 1] - greatest)
        total += share * part[width]
        for d in range(width):
            out[d] += share * part[d]
    for d in range(width):
        out[d] /= total


@compiled
def attend_head(
    token: int,
    group: int,
    part: int,
    queries: Any,
    memory: Any,
    table: Any,
    end: int,
    keys_of_piece: int,
    scale: Any,
    scores: Any,
    parts: Any,
    arrived: Any,
    out: Any,
) -> None:
    """One piece: the heads of a group, of one token, on a part of its keys. Who comes last joins the parts.

    Args:
        queries: (N, heads, D).
        memory: (2, G, blocks, block_size, D).
        scores: (r, S), this thread's own.
        parts: (N, most parts, heads, D + 2).
        arrived: (N, G) int64: parts that are done.
        out: (N, heads, D).
    """
    heads = queries.shape[1] // memory.shape[1]
    first, start = group * heads, part * keys_of_piece
    if start >= end:
        return
    own = parts[token, part, first : first + heads]
    attend_piece(
        queries[token, first : first + heads],
        memory[0, group],
        memory[1, group],
        table,
        start,
        min(end, start + keys_of_piece),
        scale,
        scores,
        own,
    )
    count = (end + keys_of_piece - 1) // keys_of_piece
    if count > 1 and add_to(arrived, token, group) + 1 < count:
        return
    for h in range(first, first + heads):
        join(parts[token], h, count, out[token, h])


@compiled
def layer_memory(address: int, groups: int, blocks: int, size: int, width: int, like: Any) -> Any:
    """The keys and values (2, G, blocks, block_size, D) of a layer."""
    return carray(pointer(address), (2, groups, blocks, size, width), like.dtype)
