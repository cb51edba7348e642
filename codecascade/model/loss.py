"""The training loss, in bounded memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function

from codecascade.model.llama import Llama

# Adding up the head's gradient over chunks costs a CPU more than the memory of these logits: 2 or 4 bytes each.
CPU_CHUNK_TOKENS = 4096
CHUNK_TOKENS = 1024
"""Tokens whose logits exist at a time, on a GPU."""
SOFTMAX_TOKENS = 64
"""Tokens whose fp32 probabilities exist at a time, on a GPU."""
# Probabilities of so many bytes stay in the caches of a CPU's cores.
_SOFTMAX_BYTES = 2 << 20


def next_token_loss(
    model: Llama, hidden: Tensor, targets: Tensor, weights: Tensor, *, chunk_tokens: int | None = None
) -> Tensor:
    """Sum of weight times cross entropy (nats), an fp32 scalar; not normalised.

    Positions of weight 0 never reach the head.

    Args:
        hidden: (B, T, H), from :meth:`Llama.forward`.
        targets: (B, T) int64, the token after each position.
        weights: (B, T) of any float dtype.
        chunk_tokens: positions whose logits exist at a time; None: 4,096 on a CPU, else 1,024.
    """
    chosen = weights != 0
    hidden, targets, weights = hidden[chosen], targets[chosen], weights[chosen].float()
    head = model.head_weight
    dtype, chunk = product_dtype(head), chunk_length(hidden, chunk_tokens)
    with torch.autocast(hidden.device.type, enabled=False):
        loss: Tensor = _ChunkedLoss.apply(  # type: ignore[no-untyped-call]
            hidden.to(dtype), head.to(dtype), targets, weights, chunk, model.trained_rows
        )
    return loss


def product_dtype(head: Tensor) -> torch.dtype:
    """The format of the products with the head: autocast's where it is on, else the head's own."""
    kind = head.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else head.dtype


def chunk_length(hidden: Tensor, wanted: int | None) -> int:
    """How many positions' logits exist at a time: ``wanted``, or what is best on the device of ``hidden``."""
    if wanted is not None:
        return wanted
    return CPU_CHUNK_TOKENS if hidden.device.type == "cpu" else CHUNK_TOKENS


def softmax_tokens(head: Tensor) -> int:
    """Tokens whose probabilities exist at a time. The loss and its gradient do not depend on it."""
    if head.device.type != "cpu":
        return SOFTMAX_TOKENS
    return max(1, _SOFTMAX_BYTES // (4 * len(head)))


class _ChunkedLoss(Function):
    """Makes the gradients in the forward pass, chunk by chunk, so that no logits are kept.

    That takes three products with the head; to compute each chunk's logits again in the backward pass, four. It is
    also the fastest on a CPU, where new memory is dear: fp32 logits of all tokens would be made, and made again as
    probabilities and as gradients.
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
        gradients = HeadGradients(hidden, head, rows, wanted=ctx.needs_input_grad)
        losses = torch.empty(len(targets), 1, device=hidden.device)
        room = torch.empty(softmax_tokens(head), len(head), device=hidden.device)
        for start in range(0, len(targets), chunk_tokens):
            part = slice(start, start + chunk_tokens)
            logits = F.linear(hidden[part], head)
            for some, target, weight, loss in zip(
                *(
                    torch.split(tensor, len(room))
                    for tensor in (logits, targets[part, None], weights[part, None], losses[part])
                ),
                strict=True,
            ):
                exact = room[: len(some)].copy_(some)
                largest, wanted = exact.amax(-1, keepdim=True), exact.gather(-1, target)
                probabilities = torch.softmax(exact, -1, out=exact)
                # the likeliest token's probability is never tiny, and exp is made once, in the fast kernel
                normaliser = largest - probabilities.amax(-1, keepdim=True).log()
                torch.sub(normaliser, wanted, out=loss)
                if not any(ctx.needs_input_grad):
                    continue
                # by the logits: weight x (softmax - one-hot)
                some.copy_(probabilities.mul_(weight).scatter_add_(-1, target, -weight))
            gradients.add(part, logits)
        ctx.gradients = gradients.made()
        return (losses[:, 0] * weights).sum()

    @staticmethod
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor | None, ...]:
        return *scaled_gradients(ctx, scale), None, None, None, None


class HeadGradients:
    """The gradients of a loss by the hidden states and by the head, made chunk by chunk in the forward pass.

    Args:
        hidden: (N, H). head: (R, H).
        rows: of the head, that its gradient is of; None: all.
        wanted: whether each of the two is wanted.
    """

    def __init__(self, hidden: Tensor, head: Tensor, rows: Tensor | None, *, wanted: Sequence[bool]) -> None:
        self._hidden, self._head, self._rows = hidden, head, rows
        self._learns = slice(None) if rows is None else rows
        self._by_hidden = torch.empty_like(hidden) if wanted[0] else None
        self._by_head: Tensor | None = None
        self._wants_head = wanted[1]

    def add(self, part: slice, logits: Tensor) -> None:
        """Take the positions ``part``; ``logits`` (n, R) holds the gradient by their logits."""
        if self._by_hidden is not None:
            torch.mm(logits, self._head, out=self._by_hidden[part])
        if self._wants_head:
            found = logits[:, self._learns].T @ self._hidden[part]
            self._by_head = found if self._by_head is None else self._by_head.float().add_(found)

    def made(self) -> tuple[Tensor | None, Tensor | None, torch.Size, torch.dtype, Tensor | None]:
        """What :func:`scaled_gradients` reads; it keeps neither the hidden states nor the head."""
        if self._wants_head and self._by_head is None:
            # no position has a weight
            self._by_head = torch.zeros_like(self._head[self._learns])
        return self._by_hidden, self._by_head, self._head.shape, self._head.dtype, self._rows


def scaled_gradients(ctx: Any, scale: Tensor) -> tuple[Tensor | None, Tensor | None]:
    """The gradients by the hidden states and by the head that a forward pass has left in ``ctx.gradients``.

    Args:
        ctx: its ``gradients`` are both gradients (or None), the head's shape and format, and the rows of the head
            that its gradient is of (None: all).
        scale: the gradient by the loss.
    """
    hidden, head, shape, dtype, rows = ctx.gradients
    # autograd would keep them as long as the loss, through the whole backward pass
    ctx.gradients = None
    if hidden is not None:
        hidden = hidden * scale.to(hidden.dtype)
    if head is not None:
        # in place, because it is the largest tensor of a small batch
        head = head.mul_(scale).to(dtype)
        if rows is not None:
            head = head.new_zeros(shape).index_copy_(0, rows, head)
    return hidden, head
