"""The root-mean-square norm of a training step on a CPU in bf16.

Where the stream between layers is fp32, autocast would keep its norm in fp32, cast it for each projection that reads
it, and cast each of their gradients back. Here the norm is cast once: the products get the same numbers.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function


def norm_is_cast_once(x: Tensor, weight: Tensor) -> bool:
    """Whether :class:`CastNorm` is meant for this: values of which bf16 products are made on a CPU."""
    if not (
        x.device.type == "cpu"
        and torch.is_grad_enabled()
        and torch.is_autocast_enabled("cpu")
        and torch.get_autocast_dtype("cpu") == torch.bfloat16
        and not torch.compiler.is_compiling()
    ):
        return False
    # Training alone comes this far. The import takes most of a second, which who only uses a model should not wait.
    from torch.distributed.tensor import DTensor

    return not (isinstance(x, DTensor) or isinstance(weight, DTensor))


class CastNorm(Function):
    """(..., H) and (H,), each in fp32 or bf16, to bf16, by way of fp32, and the gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        flat = x.flatten(0, -2).float()
        length = torch.linalg.vector_norm(flat, dim=-1, keepdim=True)
        inverse = length.square_().div_(flat.shape[1]).add_(eps).rsqrt_()
        ctx.save_for_backward(x, weight, inverse)
        normed: Tensor = (flat * inverse).mul_(weight).to(torch.bfloat16)
        return normed.view(x.shape)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, inverse = ctx.saved_tensors
        by_norm = gradient.flatten(0, -2).float()
        normed = x.flatten(0, -2).float() * inverse
        product = by_norm * normed
        by_weight = product.sum(0).to(weight.dtype) if ctx.needs_input_grad[1] else None
        # the part along x changes its length, which the norm takes away
        along = (product @ weight.float()).div_(-weight.numel())[:, None]
        by_x = by_norm.mul_(weight).addcmul_(normed, along).mul_(inverse)
        return by_x.to(x.dtype).view(x.shape), by_weight, None
