"""The training loss where the rows of the head are split over ranks: no rank ever has the logits of all rows."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.distributed.tensor import DTensor, Partial, Replicate

from codecascade.model.llama import Llama
from codecascade.model.loss import (
    SOFTMAX_TOKENS,
    HeadGradients,
    chunk_length,
    product_dtype,
    scaled_gradients,
)
from codecascade.training.parallel.slices import local_rows


def split_next_token_loss(
    model: Llama, hidden: DTensor, targets: Tensor, weights: Tensor, *, chunk_tokens: int | None = None
) -> Tensor:
    """:func:`codecascade.model.loss.next_token_loss` of a model after tensor parallelism, the same on all its ranks.

    For each position ranks exchange two numbers: the logarithm of the sum over their rows of the head, and the
    target's logit if they have it.

    Args:
        hidden: (B, T, H), split by tokens.
        targets, weights: (B, T), of all tokens, the same on all ranks.
    """
    table = model.head_weight
    assert isinstance(table, DTensor)
    # each rank makes the gradient that comes through its rows of the head, and the gradient is their sum
    whole = hidden.redistribute(placements=[Replicate()]).to_local(grad_placements=[Partial()])
    chosen = weights != 0
    whole, targets, weights = whole[chosen], targets[chosen], weights[chosen].float()
    own, learns = local_rows(table), None
    if model.trained_rows is not None:
        rows = model.trained_rows
        learns = rows[(rows >= own.start) & (rows < own.stop)] - own.start
    dtype, head = product_dtype(table), table.to_local()
    with torch.autocast(whole.device.type, enabled=False):
        loss: Tensor = _SplitLoss.apply(  # type: ignore[no-untyped-call]
            whole.to(dtype),
            head.to(dtype),
            targets - own.start,
            weights,
            chunk_length(whole, chunk_tokens),
            learns,
            table.device_mesh.get_group(),
        )
    return loss


class _SplitLoss(Function):
    """Makes the gradients in the forward pass, chunk by chunk, as the loss on a whole head does."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        head: Tensor,
        targets: Tensor,
        weights: Tensor,
        chunk_tokens: int,
        rows: Tensor | None,
        group: dist.ProcessGroup,
    ) -> Tensor:
        """Of hidden states (N, H), this rank's rows of the head (R, H), and targets (N,) as numbers of these rows."""
        wants = any(ctx.needs_input_grad)
        gradients = HeadGradients(hidden, head, rows, wanted=ctx.needs_input_grad)
        inside = ((targets >= 0) & (targets < len(head)))[:, None]
        targets = torch.where(inside, targets[:, None], 0)
        total = torch.zeros((), device=hidden.device)
        for start in range(0, len(targets), chunk_tokens):
            part = slice(start, start + chunk_tokens)
            logits = F.linear(hidden[part], head)
            blocks = torch.split(logits, SOFTMAX_TOKENS)
            own_sums = torch.cat([block.float().logsumexp(-1) for block in blocks])
            own_targets = torch.where(inside[part], logits.gather(-1, targets[part]), 0).float().squeeze(-1)
            log_sums, target_logits = _exchange(own_sums, own_targets, group)
            total += ((log_sums - target_logits) * weights[part]).sum()
            if not wants:
                continue
            for block, log_sum, target, here, weight in zip(
                blocks,
                *(
                    torch.split(tensor, SOFTMAX_TOKENS)
                    for tensor in (log_sums[:, None], targets[part], inside[part], weights[part, None])
                ),
                strict=True,
            ):
                # by the logits: weight x (softmax - one-hot)
                probabilities = (block.float() - log_sum).exp_()
                block.copy_(probabilities.mul_(weight).scatter_add_(-1, target, -weight * here))
            gradients.add(part, logits)
        ctx.gradients = gradients.made()
        return total

    @staticmethod
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor | None, ...]:
        return *scaled_gradients(ctx, scale), None, None, None, None, None


def _exchange(log_sums: Tensor, target_logits: Tensor, group: dist.ProcessGroup) -> tuple[Tensor, Tensor]:
    """Over all ranks' rows: the logarithm of the sum of exponentials (n,), and the target's logit (n,)."""
    own = torch.stack((log_sums, target_logits))
    gathered = own.new_empty(dist.get_world_size(group), *own.shape)
    # the call that gathers into one tensor has another name from one version of torch to the next
    dist.all_gather(list(gathered), own, group=group)
    return gathered[:, 0].logsumexp(0), gathered[:, 1].sum(0)
