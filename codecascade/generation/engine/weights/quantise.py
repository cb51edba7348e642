"""Weights in 8 and 4 bits, and back: the arithmetic, apart from any kernel's layout.

Shapes: O out features, I in features, S columns of a group. Scales and zeros are bf16, as kernels want them, and are
rounded before the weights are divided by them: what is stored is the nearest value that the kernel can give.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from codecascade.ground.errors import UserError

GROUP_SIZE = 32
"""Columns of an int4 group. Smaller groups cost more bits; 32 is the smallest that PyTorch's kernel takes."""

_LEVELS = 15
# Grids that are tried for a group, as shares of the one that holds all of its weights; and fits of each.
_SHARES = (1.0, 0.9, 0.8, 0.7)
_FITS = 3
# Columns that were hardly used where their importance was measured count so much of the mean.
_LEAST_SHARE = 0.01
_SMALLEST = torch.finfo(torch.bfloat16).tiny
# Weights that are worked on at a time: few stay in the processor's caches.
_CHUNK = 1 << 17


def quantise_int8(weight: Tensor) -> tuple[Tensor, Tensor]:
    """(O, I) to int8 values (O, I) and a scale (O) bf16 of each row; a weight is ``value * scale``.

    No weight is off by more than half a scale.

    Raises:
        UserError: a weight is no number.
    """
    values = torch.empty(weight.shape, dtype=torch.int8)
    scales = torch.empty(weight.shape[0], dtype=torch.bfloat16)
    for rows in _row_chunks(weight):
        part = weight[rows].float()
        largest = _finite(part.abs().amax(1))
        scale = _bf16_at_least(largest / 127)
        scales[rows] = scale
        values[rows] = (part / scale.float()[:, None]).round_().to(torch.int8)
    return values, scales


def dequantise_int8(values: Tensor, scales: Tensor, dtype: torch.dtype) -> Tensor:
    """What :func:`quantise_int8` made, (O, I) in ``dtype``."""
    out = torch.empty(values.shape, dtype=dtype, device=values.device)
    for rows in _row_chunks(values):
        out[rows].copy_(values[rows]).mul_(scales[rows, None].to(dtype))
    return out


def quantise_int4(
    weight: Tensor, group_size: int = GROUP_SIZE, importance: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """(O, I) to values 0 to 15 (O, I) uint8, and a scale and a zero (O, I / S) bf16 of each group of columns.

    A weight is ``(value - 8) * scale + zero``. Scale and zero are searched (:func:`fit_groups`).

    Args:
        importance: (I,) how much the square of an error counts, by column; None: the same everywhere.

    Raises:
        UserError: a weight is no number.
        ValueError: ``group_size`` does not divide I.
    """
    out, columns = weight.shape
    if columns % group_size:
        raise ValueError(f"groups of {group_size} do not divide {columns}")
    values = torch.empty(weight.shape, dtype=torch.uint8)
    scales, zeros = (torch.empty(out, columns // group_size, dtype=torch.bfloat16) for _ in range(2))
    counts = (
        torch.ones(columns) if importance is None else importance.clamp(min=_LEAST_SHARE * importance.mean())
    )
    if not counts.any():
        counts = torch.ones(columns)
    for rows in _row_chunks(weight):
        part = weight[rows].float().view(-1, columns // group_size, group_size)
        scale, zero = fit_groups(part, counts.view(-1, group_size))
        scales[rows], zeros[rows] = scale[..., 0], zero[..., 0]
        values[rows] = nearest_int4(part, scale, zero).add_(8).view(-1, columns).to(torch.uint8)
    return values, scales, zeros


def fit_groups(groups: Tensor, importance: Tensor) -> tuple[Tensor, Tensor]:
    """The scale and the zero of each group, (..., 1) bf16, by which 16 values come nearest to its weights.

    From all weights of a group within the 16 values and from narrower grids, which cut the outermost weights, each
    time in turn: the nearest values, and the scale and zero that fit these best (least squares). The best that was
    seen is taken, so no group is worse than by its least and largest weight.

    Args:
        groups: (..., S) fp32.
        importance: (..., S) how much the square of an error counts; broadcast over the groups.

    Raises:
        UserError: a weight is no number.
    """
    least, most = _finite(groups.amin(-1, keepdim=True)), _finite(groups.amax(-1, keepdim=True))
    total, weighted = importance.sum(-1, keepdim=True), (importance * groups).sum(-1, keepdim=True)
    best: tuple[Tensor, Tensor, Tensor] | None = None
    for share in _SHARES:
        scale = _bf16_at_least((most - least) * (share / _LEVELS))
        # The middle of the 16 values lies half a step below the zero.
        zero = ((least + most) / 2 + scale.float() / 2).bfloat16()
        for _ in range(_FITS):
            steps = nearest_int4(groups, scale, zero)
            error = (steps * scale.float()).add_(zero.float()).sub_(groups).square_().mul_(importance)
            error = error.sum(-1, keepdim=True)
            if best is None:
                best = error, scale, zero
            else:
                better = error < best[0]
                pairs = zip((error, scale, zero), best, strict=True)
                error, kept_scale, kept_zero = (torch.where(better, new, old) for new, old in pairs)
                best = error, kept_scale, kept_zero
            of_steps = importance * steps
            first, second = of_steps.sum(-1, keepdim=True), (of_steps * steps).sum(-1, keepdim=True)
            products = (of_steps * groups).sum(-1, keepdim=True)
            spread = total * second - first * first
            fitted = (total * products - first * weighted) / spread
            usable = (spread > 1e-6 * total * second) & (fitted > 0) & fitted.isfinite()
            scale = torch.where(usable, fitted.bfloat16().clamp(min=_SMALLEST), scale)
            zero = ((weighted - scale.float() * first) / total).bfloat16()
    assert best is not None
    return best[1], best[2]


def nearest_int4(weights: Tensor, scale: Tensor, zero: Tensor) -> Tensor:
    """The nearest values, -8 to 7, as fp32."""
    return (weights - zero.float()).mul_(1 / scale.float()).round_().clamp_(-8, 7)


def dequantise_int4(values: Tensor, scales: Tensor, zeros: Tensor, dtype: torch.dtype) -> Tensor:
    """What :func:`quantise_int4` made, (O, I) in ``dtype``."""
    out, columns = values.shape
    result = torch.empty(out, columns, dtype=dtype, device=values.device)
    groups = (-1, scales.shape[1], columns // scales.shape[1])
    for rows in _row_chunks(values):
        part = values[rows].float().sub_(8).view(groups)
        part.mul_(scales[rows, :, None].float()).add_(zeros[rows, :, None].float())
        result[rows].copy_(part.view(-1, columns))
    return result


def _bf16_at_least(values: Tensor) -> Tensor:
    """The least normal bf16 numbers that are not below these, which are 0 or more."""
    rounded = values.bfloat16()
    # Of positive numbers the next one has the next pattern of bits.
    up = (rounded.view(torch.int16) + 1).view(torch.bfloat16)
    rounded = torch.where(rounded.float() < values, up, rounded)
    return rounded.clamp_(min=_SMALLEST)


def _finite(values: Tensor) -> Tensor:
    if not bool(torch.isfinite(values).all()):
        raise UserError("the model has weights that are no numbers, and can't be quantised")
    return values


def _row_chunks(weight: Tensor) -> Iterator[slice]:
    """Slices of rows, each of about as many weights as stay in the caches."""
    each = max(1, _CHUNK // weight.shape[1])
    for start in range(0, weight.shape[0], each):
        yield slice(start, start + each)
