"""What a step does on a GPU and not on the CPU, where fake tensors are.

Autograd can't use fake tensors of a GPU where PyTorch is built without it. So they are on the CPU, and the few places
that ask for the device are answered as a GPU would be.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from codecascade.model import attention, llama, loss
from codecascade.model.llama import RMSNorm
from codecascade.training.parallel import apply
from codecascade.training.parallel.methods import reduction


@contextmanager
def as_on_a_gpu(memory: int | None) -> Iterator[None]:
    """While it lasts, models are sharded, and compute, as on GPUs of ``memory`` bytes."""
    with ExitStack() as stack:
        for module, name, value in (
            # weights are sent in the format of the products
            (apply, "sent_format", lambda kind, precision: precision.dtype),
            (reduction, "_memory", lambda kind: float(memory or 0)),
            # flash attention, and norms in one kernel
            (attention, "cpu_bf16", lambda tensor: False),
            (llama, "cpu_bf16", lambda tensor: False),
            (RMSNorm, "forward", _norm),
            (loss, "CPU_CHUNK_TOKENS", loss.CHUNK_TOKENS),
            (loss, "softmax_tokens", lambda head: loss.SOFTMAX_TOKENS),
        ):
            stack.enter_context(replaced(module, name, value))
        yield


@contextmanager
def replaced(module: Any, name: str, value: Any) -> Iterator[None]:
    """While it lasts, ``module`` has ``value`` in the place of what is called ``name``."""
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)


class _NormInOneKernel(Function):
    """The shapes and the kept tensors of the kernel, not its numbers: the input, and a number for each token.

    On a CPU, torch makes a norm of many small operations, which keep several fp32 copies.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight, x[..., :1].float().clone())
        return torch.empty_like(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        _, weight, _ = ctx.saved_tensors
        return torch.empty_like(gradient), torch.empty_like(weight)


def _norm(self: RMSNorm, x: Tensor) -> Tensor:
    out: Tensor = _NormInOneKernel.apply(x, self.weight.to(x.dtype))  # type: ignore[no-untyped-call]
    return out
