"""int4 weights whose errors cancel out in the layer's products: GPTQ (Frantar et al. 2022, arXiv:2210.17323).

Columns are rounded one after another. What a column lost is made good by the columns that are not rounded yet, as far
as the layer's inputs of these resemble the inputs of that one. This needs the second moments of the inputs
(:mod:`~codecascade.generation.engine.weights.calibration`).

Shapes: O out features, I in features, S columns of a group, B columns of a block, N = I / B blocks. Inputs count as
unrelated beyond a block, so that time and memory grow with I and not with its third power.
"""

from __future__ import annotations

import torch
from torch import Tensor

from codecascade.generation.engine.weights.quantise import GROUP_SIZE, fit_groups, quantise_int4

_MOST_BLOCK = 640
# Of the mean second moment, what is added to each: few tokens tell little of inputs that are seldom used.
_DAMPING = 0.01


def block_size(columns: int) -> int:
    """The size of a block: the largest multiple of a group that divides the columns, within a limit.

    Raises:
        ValueError: groups do not divide the columns.
    """
    if columns % GROUP_SIZE:
        raise ValueError(f"groups of {GROUP_SIZE} do not divide {columns}")
    return max(size for size in range(GROUP_SIZE, _MOST_BLOCK + 1, GROUP_SIZE) if columns % size == 0)


@torch.no_grad()
def quantise_by_products(weight: Tensor, moments: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """As :func:`~codecascade.generation.engine.weights.quantise.quantise_int4`, with the errors spread.

    Args:
        weight: (O, I).
        moments: (N, B, B) fp32: of each block, the mean products of the inputs of two columns.

    Raises:
        UserError: a weight is no number.
    """
    blocks, size, _ = moments.shape
    used = moments.diagonal(dim1=1, dim2=2)
    inverse = _inverse_factor(moments)
    if inverse is None:
        return quantise_int4(weight, importance=used.flatten())
    importance = (used + _DAMPING * used.mean())[:, None]
    left = weight.detach().float().view(-1, blocks, size).transpose(0, 1).clone()
    steps = torch.empty_like(left)
    scales, zeros = (torch.empty(*left.shape[:2], size // GROUP_SIZE, dtype=torch.bfloat16) for _ in range(2))
    for start in range(0, size, GROUP_SIZE):
        group, end = start // GROUP_SIZE, start + GROUP_SIZE
        scale, zero = fit_groups(left[..., start:end], importance[..., start:end])
        scales[..., group], zeros[..., group] = scale[..., 0], zero[..., 0]
        rounded, errors = _round_group(
            left[..., start:end], scale.float(), zero.float(), inverse[:, start:end, start:end]
        )
        steps[..., start:end] = rounded
        left[..., end:] -= errors @ inverse[:, start:end, end:]

    def flat(parts: Tensor) -> Tensor:
        return parts.transpose(0, 1).reshape(len(weight), -1)

    return flat(steps).add_(8).to(torch.uint8), flat(scales), flat(zeros)


def _round_group(group: Tensor, scale: Tensor, zero: Tensor, inverse: Tensor) -> tuple[Tensor, Tensor]:
    """The steps of a group's columns, and what each lost in terms of the factor's diagonal; (N, O, S) both.

    Args:
        group: (N, O, S).
        scale, zero: (N, O, 1).
        inverse: (N, S, S), the group's part of the factor.
    """
    # by columns, so that each is one piece of memory
    left = group.transpose(1, 2).contiguous().sub_(zero.transpose(1, 2))
    steps, errors = torch.empty_like(left), torch.empty_like(left)
    scale = scale[..., 0]
    grid, diagonal = 1 / scale, inverse.diagonal(dim1=1, dim2=2)
    for column in range(left.shape[1]):
        here = left[:, column]
        step = (here * grid).round_().clamp_(-8, 7)
        error = torch.addcmul(here, step, scale, value=-1).div_(diagonal[:, column, None])
        steps[:, column], errors[:, column] = step, error
        left[:, column + 1 :] -= inverse[:, column, column + 1 :, None] * error[:, None]
    return steps.transpose(1, 2), errors.transpose(1, 2)


def _inverse_factor(moments: Tensor) -> Tensor | None:
    """(N, B, B), the upper Cholesky factor of the inverse; None where there is none."""
    mean = moments.diagonal(dim1=1, dim2=2).mean()
    if not bool(mean > 0):
        return None
    damped = moments + _DAMPING * mean * torch.eye(moments.shape[1])
    factor, failed = torch.linalg.cholesky_ex(damped)
    if bool(failed.any()):
        return None
    factor, failed = torch.linalg.cholesky_ex(torch.cholesky_inverse(factor), upper=True)
    return None if bool(failed.any()) else factor
