"""The layers of the decoder over a pass's few tokens, in compiled code: what each thread runs.

Shapes as in :mod:`~codecascade.generation.engine.compiled.kernels`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from codecascade.generation.engine.compiled.attention import attend_head, layer_memory, store, turn
from codecascade.generation.engine.compiled.intrinsics import add_to, cached, compiled
from codecascade.generation.engine.compiled.kernels import (
    DONE,
    add_bias,
    enter,
    exponential,
    leave,
    matrix,
    norm,
    product,
    take,
    wait,
)

PHASES = 5
"""Of a layer."""
_ONE = np.float32(1)

# of a layer's addresses: weights, then biases
QKV, OUT, GATE, UP, DOWN = range(5)


@compiled
def add_product(
    counters: Any,
    phase: int,
    address: Any,
    which: int,
    channels: int,
    inputs: Any,
    step: int,
    like: Any,
    residual: float,
    tile: Any,
    x: Any,
) -> None:
    """A phase: add a layer's product with ``inputs`` (N, in) to ``x`` (N, ``channels``)."""
    weight = matrix(address[which], channels, inputs.shape[1], like)
    share = np.float32(residual)
    pieces = (channels + step - 1) // step
    while True:
        piece = take(counters, phase, pieces)
        if piece < 0:
            break
        first = piece * step
        here = min(step, channels - first)
        product(weight, first, here, inputs, tile[0])
        add_bias(address[5 + which], first, here, tile[0])
        for n in range(x.shape[0]):
            source, target = tile[0, n], x[n, first:]
            for o in range(here):
                target[o] += share * source[o]
        add_to(counters, phase, DONE)
    wait(counters, phase, pieces)


@cached
def run_layers(
    thread: int,
    counters: Any,
    arrived: Any,
    sizes: Any,
    addresses: Any,
    memories: Any,
    norms: Any,
    head_norms: Any,
    rotates: Any,
    eps: float,
    scale: float,
    residual: float,
    like: Any,
    tables: Any,
    rows: Any,
    positions: Any,
    cos: Any,
    sin: Any,
    x: Any,
    queries: Any,
    attended: Any,
    hidden: Any,
    parts: Any,
    normed: Any,
    tile: Any,
    scores: Any,
) -> None:
    """All layers, in place in ``x`` (N, H). Each thread that calls it with the same ``counters`` takes its share.

    Args:
        thread: 0 for the one that waits for the others.
        counters: (5 x layers + 1, 16) int64 zeros.
        arrived: (layers x N, G) int64 zeros.
        sizes: head_dim, query heads, G, blocks of the cache, block_size, keys of a piece, most pieces of keys, tokens
            without padding, rows of a piece of weights.
        addresses: (layers, 10) int64: five weights, and their biases, which may be 0.
        memories: (layers,) int64: addresses of the cache's layers.
        norms: (layers, 2, H): weights of the norms before attention and before the feed-forward network.
        head_norms: (layers, 2, D), of queries and of keys; (layers, 2, 0) where there are none.
        rotates: (layers,) int64, whether a layer has rotary positions.
        scale: of the scores. residual: of what a layer adds.
        like: an array of the type of weights and cache.
        tables: (rows, most blocks) int64: the blocks of each row of the cache.
        rows, positions: (N,) int64: of each token.
        cos, sin: (N, D).
        queries, attended, hidden: scratch (N, heads, D), (N, heads, D), (N, intermediate_size) of the pass.
        parts: scratch (N, most pieces of keys, heads, D + 2) of the pass.
        normed, tile, scores: scratch (N, H), (2, N, most rows of a piece), (r, S), this thread's own.
    """
    width, heads, groups, blocks, size = sizes[0], sizes[1], sizes[2], sizes[3], sizes[4]
    keys_of_piece, most_parts, tokens, step = sizes[5], sizes[6], sizes[7], sizes[8]
    count, channels = x.shape
    if not enter(counters, thread):
        return
    inner, ffn = heads * width, hidden.shape[1]
    flat = attended.reshape(count, inner)
    phase = 0
    for layer in range(addresses.shape[0]):
        address = addresses[layer]
        memory = layer_memory(memories[layer], groups, blocks, size, width, like)
        turns = rotates[layer] != 0

        # queries, keys and values: a piece is a head
        weight = matrix(address[QKV], (heads + 2 * groups) * width, channels, like)
        pieces, is_normed = heads + 2 * groups, False
        while True:
            piece = take(counters, phase, pieces)
            if piece < 0:
                break
            if not is_normed:
                norm(x, norms[layer, 0], eps, normed)
                is_normed = True
            product(weight, piece * width, width, normed, tile[0])
            add_bias(address[5 + QKV], piece * width, width, tile[0])
            for n in range(tokens):
                own = tile[0, n, :width]
                block, offset = tables[rows[n], positions[n] // size], positions[n] % size
                if piece < heads:
                    turn(own, head_norms[layer, 0], eps, cos[n], sin[n], turns)
                    queries[n, piece] = own
                elif piece < heads + groups:
                    turn(own, head_norms[layer, 1], eps, cos[n], sin[n], turns)
                    store(memory[0, piece - heads], block, offset, own)
                else:
                    store(memory[1, piece - heads - groups], block, offset, own)
            add_to(counters, phase, DONE)
        wait(counters, phase, pieces)
        phase += 1

        pieces = tokens * groups * most_parts
        while True:
            piece = take(counters, phase, pieces)
            if piece < 0:
                break
            token = piece // (groups * most_parts)
            group, part = piece // most_parts % groups, piece % most_parts
            attend_head(
                token,
                group,
                part,
                queries,
                memory,
                tables[rows[token]],
                positions[token] + 1,
                keys_of_piece,
                np.float32(scale),
                scores,
                parts,
                arrived[layer * tokens : (layer + 1) * tokens],
                attended,
            )
            add_to(counters, phase, DONE)
        wait(counters, phase, pieces)
        phase += 1

        add_product(counters, phase, address, OUT, channels, flat, step, like, residual, tile, x)
        phase += 1

        gate, up = (matrix(address[GATE], ffn, channels, like), matrix(address[UP], ffn, channels, like))
        pieces, is_normed = (ffn + step - 1) // step, False
        while True:
            piece = take(counters, phase, pieces)
            if piece < 0:
                break
            if not is_normed:
                norm(x, norms[layer, 1], eps, normed)
                is_normed = True
            first = piece * step
            here = min(step, ffn - first)
            product(gate, first, here, normed, tile[0])
            add_bias(address[5 + GATE], first, here, tile[0])
            product(up, first, here, normed, tile[1])
            add_bias(address[5 + UP], first, here, tile[1])
            for n in range(count):
                gates, ups, target = tile[0, n], tile[1, n], hidden[n, first:]
                for o in range(here):
                    target[o] = gates[o] / (_ONE + exponential(-gates[o])) * ups[o]
            add_to(counters, phase, DONE)
        wait(counters, phase, pieces)
        phase += 1

        add_product(counters, phase, address, DOWN, channels, hidden, step, like, residual, tile, x)
        phase += 1
    leave(counters, thread)
