"""The training loss, in bounded memory."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function

from codecascade.model.llama import Llama

# On a CPU all logits at once are fastest, and for this many tokens their memory (about 3 x tokens x vocabulary x 4
# bytes) is a laptop's. On a GPU chunks cost little, and long contexts need them.
_CPU_TOKENS = 4096
_CHUNK_TOKENS = 1024


def next_token_loss(
    model: Llama, hidden: Tensor, targets: Tensor, weights: Tensor, *, chunk_tokens: int | None = None
) -> Tensor:
    """Sum of weight times cross entropy (nats), an fp32 scalar; not normalised.

    Positions of weight 0 never reach the head.

    Args:
        hidden: (B, T, H), from :meth:`Llama.forward`.
        targets: (B, T) int64, the token after each position.
        weights: (B, T) of any float dtype.
        chunk_tokens: positions whose logits exist at a time. None: on a CPU all up to 4,096, else 1,024.
    """
    chosen = weights != 0
    hidden, targets, weights = hidden[chosen], targets[chosen], weights[chosen].float()
    if chunk_tokens is None:
        whole = hidden.device.type == "cpu" and len(targets) <= _CPU_TOKENS
        chunk_tokens = _CPU_TOKENS if whole else _CHUNK_TOKENS
    if len(targets) <= chunk_tokens and model.trained_rows is None:
        losses = F.cross_entropy(model.logits(hidden).float(), targets, reduction="none")
        return (losses * weights).sum()
    kind, head = hidden.device.type, model.head_weight
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else head.dtype
    with torch.autocast(kind, enabled=False):
        loss: Tensor = _ChunkedLoss.apply(  # type: ignore[no-untyped-call]
            hidden.to(dtype), head.to(dtype), targets, weights, chunk_tokens, model.trained_rows
        )
    return loss


class _ChunkedLoss(Function):
    """Makes the gradients in the forward pass, chunk by chunk, so that no logits are kept.

    That takes three products with the head; to compute each chunk's logits again in the backward pass, four.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        head: Tensor,
        targets: Tensor,
        weights: Tensor,
        chunk_tokens: int,
        rows: Tensor | None,
    ) -> Tensor:
        hidden_gradient = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        learns = slice(None) if rows is None else rows
        head_gradient = (
            torch.zeros_like(head[learns], dtype=torch.float32) if ctx.needs_input_grad[1] else None
        )
        total = torch.zeros((), device=hidden.device)
        for start in range(0, len(targets), chunk_tokens):
            part = slice(start, start + chunk_tokens)
            target, weight = targets[part, None], weights[part, None]
            log_probabilities = F.linear(hidden[part], head).float().log_softmax(-1)
            total -= (log_probabilities.gather(-1, target) * weight).sum()
            if hidden_gradient is None and head_gradient is None:
                continue
            # by the logits: weight x (softmax - one-hot)
            gradient = log_probabilities.exp_().mul_(weight).scatter_add_(-1, target, -weight).to(head.dtype)
            if hidden_gradient is not None:
                torch.mm(gradient, head, out=hidden_gradient[part])
            if head_gradient is not None:
                head_gradient += gradient[:, learns].T @ hidden[part]
        ctx.gradients = hidden_gradient, head_gradient, head.shape, head.dtype, rows
        return total

    @staticmethod
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor | None, ...]:
        hidden, head, shape, dtype, rows = ctx.gradients
        if head is not None:
            head = (head * scale).to(dtype)
            if rows is not None:
                head = head.new_zeros(shape).index_copy_(0, rows, head)
        return None if hidden is None else hidden * scale.to(hidden.dtype), head, None, None, None, None
