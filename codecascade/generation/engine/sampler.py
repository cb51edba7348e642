"""Choosing tokens. Each row has one random number a step, drawn by (seed, sample, step) alone."""

from __future__ import annotations

import torch
from torch import Tensor


def choose(logits: Tensor, temperature: Tensor, top_p: Tensor, uniforms: Tensor) -> Tensor:
    """The next token of each row.

    The inverse of the distribution function, in the order of the vocabulary: one draw a row, and a small change of
    the logits (another batch shape rounds differently) moves the borders between tokens only a little.

    Args:
        logits: (rows, vocabulary) float32.
        temperature: (rows,); 0 takes the likeliest token.
        top_p: (rows,) in (0, 1].
        uniforms: (rows,) float64 in [0, 1).

    Returns:
        (rows,) int64.
    """
    likeliest = logits.argmax(-1)
    sampled = temperature > 0
    if not sampled.any():
        return likeliest
    probabilities = torch.softmax(logits / torch.where(sampled, temperature, 1.0)[:, None], -1)
    probabilities = nucleus(probabilities, torch.where(sampled, top_p, 1.0))
    cumulative = probabilities.double().cumsum(-1)
    drawn = torch.searchsorted(cumulative, (uniforms * cumulative[:, -1])[:, None], right=True)[:, 0]
    return torch.where(sampled, drawn, likeliest)


def nucleus(probabilities: Tensor, top_p: Tensor) -> Tensor:
    """Zero for the tokens outside the nucleus; (rows, vocabulary), not normalised.

    The reference's convention: a token goes if the mass *before* it exceeds ``top_p``; the one that crosses stays
    (and others that are exactly as likely, so that no order of sorting is asked for).
    """
    limited = top_p < 1
    if not limited.any():
        return probabilities
    # Tokens below this hold less than 1 - top_p together, so they are outside: the sort can leave them out.
    negligible = (1 - top_p) / probabilities.shape[-1]
    candidates = int((probabilities >= negligible[:, None])[limited].sum(-1).max())
    likeliest = probabilities.topk(candidates).values
    before = likeliest.cumsum(-1) - likeliest
    crossing = (before <= top_p[:, None]).sum(-1, keepdim=True) - 1
    least = likeliest.gather(-1, crossing)
    return probabilities.masked_fill((probabilities < least) & limited[:, None], 0.0)
