"""Rotary position embeddings (Su et al. 2021) in Hugging Face's layout: dimension i turns with dimension i + D/2."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from codecascade.model.config import LlamaConfig
from codecascade.model.rope_scaling import RopeScaling

# Numbers from which on a rotation takes longer than its kernels take to start.
_MANY = 1 << 15


@lru_cache(maxsize=16)
def frequencies(head_dim: int, theta: float, scaling: RopeScaling | None, device: torch.device) -> Tensor:
    """Radians per position of each pair of dimensions (head_dim / 2,) fp32: theta ** (-2i / head_dim), scaled."""
    exponents = torch.arange(0, head_dim, 2, dtype=torch.float32, device="cpu") / head_dim
    plain = 1.0 / theta**exponents
    return (plain if scaling is None else _scale(plain, scaling)).to(device)


def _scale(plain: Tensor, scaling: RopeScaling) -> Tensor:
    slow = plain / scaling.factor
    if scaling.kind == "linear":
        return slow
    # Llama 3.1: waves that fit high_freq_factor times into the original context stay, those that do not fit
    # low_freq_factor times are slowed down, and those in between are blended
    fits = scaling.original_max_position_embeddings * plain / (2 * math.pi)
    share = (fits - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor)
    return torch.lerp(slow, plain, share.clamp(0, 1))


def rotation(config: LlamaConfig, positions: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines and signed sines (..., 1, head_dim) fp32 of integer ``positions`` (...), for :func:`rotate`."""
    turns = frequencies(config.head_dim, config.rope_theta, config.rope_scaling, positions.device)
    angles = positions[..., None, None].float() * turns
    cos, sin = angles.cos(), angles.sin()
    return torch.cat((cos, cos), -1), torch.cat((-sin, sin), -1)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn queries or keys (B, T, heads, head_dim) to their positions.

    The products are made in fp32 whatever the dtype of ``x``: in bf16 they would blur far positions.
    """
    if x.numel() < _MANY or torch.compiler.is_compiling():
        return torch.addcmul(x * cos, x.roll(x.shape[-1] // 2, -1), sin).to(x.dtype)
    if torch.is_grad_enabled() and x.requires_grad:
        turned: Tensor = _Turn.apply(x, cos, sin)  # type: ignore[no-untyped-call]
        return turned
    return _turn(x, cos, sin)


def _turn(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """The same numbers in a third of the time: no copy is made to swap the halves, and no kernel meets two types."""
    half = x.shape[-1] // 2
    exact = x.float()
    turned = exact * cos
    turned[..., :half].addcmul_(exact[..., half:], sin[..., :half])
    turned[..., half:].addcmul_(exact[..., :half], sin[..., half:])
    return turned.to(x.dtype)


class _Turn(Function):
    """The gradient of a rotation is the rotation back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return _turn(x, cos, sin)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        cos, sin = ctx.saved_tensors
        return _turn(gradient, cos, -sin), None, None


def expected_attention(
    distances: Tensor, theta: float, scaling: RopeScaling | None, dimension: int
) -> Tensor:
    """The expected product of a query and a key by their distance: the mean cosine of the angles between them.

    Of a query and a key that are alike, each pair of dimensions contributes the cosine of its angle. The mean is 1 at
    distance 0. Where it stays high, far keys are not fainter than near ones. (Sun et al. 2022, without their decay;
    paper, Fig. 9a.)

    Args:
        distances: in positions, (N,).
        dimension: of the vectors; each pair of dimensions has a frequency.

    Returns:
        (N,) fp64.
    """
    turns = frequencies(dimension, theta, scaling, torch.device("cpu")).double()
    return (distances.double()[:, None] * turns).cos().mean(-1)


def halves_of_neighbours(weights: Tensor, heads: int) -> Tensor:
    """Rows (heads x D, ...) of a projection that rotates neighbours (2i with 2i + 1), for a rotation of halves.

    Each head's rows 0, 1, 2, 3 ... become 0, 2, 4 ... 1, 3, 5 ... Meta's files and llama.cpp rotate neighbours.
    """
    return weights.reshape(heads, -1, 2, *weights.shape[1:]).transpose(1, 2).reshape(weights.shape)


def neighbours_of_halves(weights: Tensor, heads: int) -> Tensor:
    """The inverse of :func:`halves_of_neighbours`."""
    return weights.reshape(heads, 2, -1, *weights.shape[1:]).transpose(1, 2).reshape(weights.shape)
