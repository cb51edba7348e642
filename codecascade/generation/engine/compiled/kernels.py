"""A pass of the decoder over few tokens, which threads share; compiled when it is first called.

Shapes: N tokens (rows of activations are padded to 1 or a multiple of 4), H hidden_size, D head_dim, G key-value
heads, r query heads of each. Weights and the cache are bf16 (as uint16) or fp32, all else is fp32.

A pass is a row of phases: products, attention. Each is cut into pieces, and whoever is free takes the next one. So
the pass ends even if no other thread comes, and a thread that the system holds up holds up one piece. A phase begins
when all pieces of the one before are done.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import carray

from codecascade.generation.engine.compiled.intrinsics import (
    add_to,
    cached,
    compiled,
    let_others_run,
    pointer,
    power_of_two,
    read_from,
    widen,
)

# Columns of the counters, in cache lines of their own. The last phase counts threads that came and those that left.
TAKEN, DONE, CLOSED = 0, 8, 16
COUNTERS = 24
"""Numbers of a phase among the counters."""
# Looks at a counter before another thread is let onto the processor.
_PATIENCE = 20_000

_ZERO, _ONE, _HALF = np.float32(0), np.float32(1), np.float32(0.5)
_LOG2E, _LN2_HIGH, _LN2_LOW = np.float32(1.44269504), np.float32(0.693359375), np.float32(-2.12194440e-4)
_LEAST, _MOST = np.float32(-87), np.float32(88)


@compiled
def take(counters: Any, phase: int, pieces: int) -> int:
    """A piece of a phase that nobody has taken; -1 if there is none."""
    if read_from(counters, phase, TAKEN) >= pieces:
        return -1
    piece = add_to(counters, phase, TAKEN)
    return piece if piece < pieces else -1


@compiled
def wait(counters: Any, phase: int, pieces: int) -> None:
    """Until all pieces of a phase are done."""
    looks = 0
    while read_from(counters, phase, DONE) < pieces:
        looks += 1
        if looks > _PATIENCE:
            let_others_run()


@compiled
def enter(counters: Any, thread: int) -> bool:
    """Whether a thread may take part: not after the work is done, when its arrays may be in use again."""
    last = counters.shape[0] - 1
    if thread == 0:
        return True
    add_to(counters, last, TAKEN)
    if read_from(counters, last, CLOSED) == 0:
        return True
    add_to(counters, last, DONE)
    return False


@compiled
def leave(counters: Any, thread: int) -> None:
    """A thread has done its share; thread 0 lets nobody in any more, and waits until all have left."""
    last = counters.shape[0] - 1
    if thread:
        add_to(counters, last, DONE)
        return
    add_to(counters, last, CLOSED)
    looks = 0
    while read_from(counters, last, DONE) < read_from(counters, last, TAKEN):
        looks += 1
        if looks > _PATIENCE:
            let_others_run()


@cached
def close(counters: Any) -> None:
    """Let nobody in any more, and wait until all have left, where thread 0 may have been interrupted first."""
    leave(counters, 0)


@compiled
def exponential(x: Any) -> Any:
    """e to the ``x`` (fp32) within two units of the last place, from -87 to 88; in a form that can be vectorised."""
    x = _LEAST if x < _LEAST else x
    x = _MOST if x > _MOST else x
    whole = np.floor(x * _LOG2E + _HALF)
    x = x - whole * _LN2_HIGH - whole * _LN2_LOW
    # Cephes' polynomial
    found = np.float32(1.9875691500e-4)
    found = found * x + np.float32(1.3981999507e-3)
    found = found * x + np.float32(8.3334519073e-3)
    found = found * x + np.float32(4.1665795894e-2)
    found = found * x + np.float32(1.6666665459e-1)
    found = found * x + _HALF
    found = found * x * x + x + _ONE
    return found * power_of_two(np.int32(whole))


@compiled
def four_by_one(weight: Any, first: int, x: Any, out: Any, at: int) -> None:
    """Four rows of ``weight`` times ``x`` (in,) into ``out`` from ``at`` on."""
    a0 = a1 = a2 = a3 = _ZERO
    w0, w1, w2, w3 = weight[first], weight[first + 1], weight[first + 2], weight[first + 3]
    for k in range(x.shape[0]):
        y = x[k]
        a0 += widen(w0[k]) * y
        a1 += widen(w1[k]) * y
        a2 += widen(w2[k]) * y
        a3 += widen(w3[k]) * y
    out[at], out[at + 1], out[at + 2], out[at + 3] = a0, a1, a2, a3


@compiled
def four_by_four(weight: Any, first: int, x: Any, row: int, out: Any, at: int) -> None:
    """Four rows of ``weight`` times four of ``x``."""
    a00 = a01 = a02 = a03 = a10 = a11 = a12 = a13 = _ZERO
    a20 = a21 = a22 = a23 = a30 = a31 = a32 = a33 = _ZERO
    w0, w1, w2, w3 = weight[first], weight[first + 1], weight[first + 2], weight[first + 3]
    x0, x1, x2, x3 = x[row], x[row + 1], x[row + 2], x[row + 3]
    for k in range(x.shape[1]):
        v0, v1, v2, v3 = widen(w0[k]), widen(w1[k]), widen(w2[k]), widen(w3[k])
        y0, y1, y2, y3 = x0[k], x1[k], x2[k], x3[k]
        a00 += v0 * y0
        a01 += v0 * y1
        a02 += v0 * y2
        a03 += v0 * y3
        a10 += v1 * y0
        a11 += v1 * y1
        a12 += v1 * y2
        a13 += v1 * y3
        a20 += v2 * y0
        a21 += v2 * y1
        a22 += v2 * y2
        a23 += v2 * y3
        a30 += v3 * y0
        a31 += v3 * y1
        a32 += v3 * y2
        a33 += v3 * y3
    out0, out1, out2, out3 = out[row], out[row + 1], out[row + 2], out[row + 3]
    out0[at], out0[at + 1], out0[at + 2], out0[at + 3] = a00, a10, a20, a30
    out1[at], out1[at + 1], out1[at + 2], out1[at + 3] = a01, a11, a21, a31
    out2[at], out2[at + 1], out2[at + 2], out2[at + 3] = a02, a12, a22, a32
    out3[at], out3[at + 1], out3[at + 2], out3[at + 3] = a03, a13, a23, a33


@compiled
def product(weight: Any, first: int, rows: int, x: Any, out: Any) -> None:
    """``rows`` (a multiple of 4) rows of ``weight`` (out, in) times all of ``x`` (1 or a multiple of 4, in).

    Args:
        out: (rows of ``x``, ``rows``).
    """
    if x.shape[0] == 1:
        for at in range(0, rows, 4):
            four_by_one(weight, first + at, x[0], out[0], at)
        return
    for at in range(0, rows, 4):
        for row in range(0, x.shape[0], 4):
            four_by_four(weight, first + at, x, row, out, at)


@compiled
def matrix(address: int, rows: int, columns: int, like: Any) -> Any:
    """The array (rows, columns) at an address, of the type of ``like``."""
    return carray(pointer(address), (rows, columns), like.dtype)


@compiled
def add_bias(address: int, first: int, rows: int, tile: Any) -> None:
    """Add the fp32 numbers at an address, if there is one, to the columns of ``tile``."""
    if address == 0:
        return
    bias = carray(pointer(address), (first + rows,), np.float32)
    for n in range(tile.shape[0]):
        for o in range(rows):
            tile[n, o] += bias[first + o]


@compiled
def norm(x: Any, weight: Any, eps: float, out: Any) -> None:
    """The root-mean-square norm of the rows of ``x``."""
    size = x.shape[1]
    for n in range(x.shape[0]):
        total = _ZERO
        row, target = x[n], out[n]
        for k in range(size):
            total += row[k] * row[k]
        scale = np.float32(1.0 / np.sqrt(np.float64(total) / size + eps))
        for k in range(size):
            target[k] = row[k] * scale * weight[k]


@cached
def run_linear(
    thread: int, counters: Any, address: int, like: Any, step: int, x: Any, out: Any, tile: Any
) -> None:
    """``x`` (N, in) times a weight (out, in) into ``out``.

    Args:
        thread: 0 for the one that waits for the others.
        counters: (2, 24) int64 zeros.
        address: of the weight, which has the type of ``like``.
        step: rows of the weight in a piece.
        tile: (2, N, step or more), this thread's own.
    """
    if not enter(counters, thread):
        return
    weight = matrix(address, out.shape[1], x.shape[1], like)
    pieces = (weight.shape[0] + step - 1) // step
    while True:
        piece = take(counters, 0, pieces)
        if piece < 0:
            break
        first = piece * step
        rows = min(step, weight.shape[0] - first)
        product(weight, first, rows, x, tile[0])
        for n in range(x.shape[0]):
            for o in range(rows):
                out[n, first + o] = tile[0, n, o]
        add_to(counters, 0, DONE)
    wait(counters, 0, pieces)
    leave(counters, thread)
