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


def quantise_int4(weight: Tensor, group_size: int = GROUP_SIZE) -> tuple[Tensor, Tensor, Tensor]:
    """(O, I) to values 0 to 15 (O, I) uint8, and a scale and a zero (O, I / S) bf16 of each group of columns.

    A weight is ``(value - 8) * scale + zero``. No weight is off by more than half a scale and what the zero lost
    where it was rounded, a 256th of it.

    Raises:
        UserError: a weight is no number.
        ValueError: ``group_size`` does not divide I.
    """
    out, columns = weight.shape
    if columns % group_size:
        raise ValueError(f"groups of {group_size} do not divide {columns}")
    values = torch.empty(weight.shape, dtype=torch.uint8)
    scales, zeros = (torch.empty(out, columns // group_size, dtype=torch.bfloat16) for _ in range(2))
    for rows in _row_chunks(weight):
        part = weight[rows].float().view(-1, columns // group_size, group_size)
        least, most = _finite(part.amin(-1)), _finite(part.amax(-1))
        scale = _bf16_at_least((most - least) / _LEVELS)
        # The middle of the 16 values lies half a step below the zero.
        zero = ((least + most) / 2 + scale.float() / 2).bfloat16()
        scales[rows], zeros[rows] = scale, zero
        part = (part - zero.float()[..., None]).mul_((1 / scale.float())[..., None])
        values[rows] = part.round_().add_(8).clamp_(0, _LEVELS).view(-1, columns).to(torch.uint8)
    return values, scales, zeros


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
    return rounded.clamp_(min=torch.finfo(torch.bfloat16).tiny)


def _finite(values: Tensor) -> Tensor:
    if not bool(torch.isfinite(values).all()):
        raise UserError("the model has weights that are no numbers, and can't be quantised")
    return values


def _row_chunks(weight: Tensor) -> Iterator[slice]:
    """Slices of rows, each of about as many weights as stay in the caches."""
    each = max(1, _CHUNK // weight.shape[1])
    for start in range(0, weight.shape[0], each):
        yield slice(start, start + each)
