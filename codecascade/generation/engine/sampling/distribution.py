"""Draws a token of each row: what top-k, top-p and min-p leave over, and the inverse of its distribution function.

Mostly the likeliest few tokens are all that can be drawn. They are found by the maxima of groups of tokens, and the
vocabulary is gone through once instead of ten times. Where they do not suffice, which a row's own numbers tell, all
tokens are considered; both ways give the same token.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

# Likeliest tokens that are looked at first, and tokens of a group.
_CANDIDATES, _GROUP = 64, 128


@dataclass(frozen=True)
class Limits:
    """The settings of rows.

    Attributes:
        top_k: (rows,) int64, from 1; the size of the vocabulary or more for no limit.
        top_p, min_p: (rows,) fp32.
    """

    top_k: Tensor
    top_p: Tensor
    min_p: Tensor

    def any(self, size: int) -> Tensor:
        """Whether one of them leaves something out of a vocabulary."""
        return ((self.top_k < size) | (self.top_p < 1) | (self.min_p > 0)).any()

    def of(self, rows: Tensor) -> Limits:
        """Of some rows, by their indices."""
        return Limits(self.top_k[rows], self.top_p[rows], self.min_p[rows])


def draw(probabilities: Tensor, limits: Limits, uniform: Tensor, likeliest: Tensor) -> Tensor:
    """A token (rows,) int64 of each row of (rows, vocabulary) fp32.

    The order is that of the vocabulary: one draw a row, and a small change of the logits (another batch shape rounds
    differently) moves the borders between tokens only a little.

    Args:
        uniform: (rows,) fp64, the draws in [0, 1).
        likeliest: (rows,) int64, for rows that have no distribution.
    """
    size = probabilities.shape[-1]
    if size < _CANDIDATES * _GROUP or not bool(limits.any(size)):
        return _inverse(limited(probabilities, limits), uniform, likeliest)
    values, ids = likeliest_tokens(probabilities, _CANDIDATES)
    kept = limited_among(values, limits, size)
    # what is left over begins with the greatest, so it is all there if something was left out
    suffices = (kept[:, 0] > 0) & (kept[:, -1] == 0)
    suffices &= (limits.top_k <= _CANDIDATES) | (limits.top_k >= size)
    ids, order = ids.sort(-1)
    columns = _inverse(kept.gather(-1, order), uniform, torch.zeros_like(likeliest))
    tokens = ids.gather(-1, columns[:, None])[:, 0]
    left = (~suffices).nonzero()[:, 0]
    if len(left):
        every = limited(probabilities[left], limits.of(left))
        tokens[left] = _inverse(every, uniform[left], likeliest[left])
    return tokens


def likeliest_tokens(probabilities: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The ``count`` greatest values (rows, count), the greatest first, and their columns.

    The groups with the greatest maxima hold them all.
    """
    whole = probabilities.shape[-1] // _GROUP
    grouped = probabilities[:, : whole * _GROUP].reshape(-1, whole, _GROUP)
    best = grouped.amax(-1).topk(min(count, whole), sorted=False).indices[..., None]
    columns = (best * _GROUP + torch.arange(_GROUP, device=best.device)).flatten(1)
    rest = torch.arange(whole * _GROUP, probabilities.shape[-1], device=best.device)
    columns = torch.cat((columns, rest.expand(len(columns), -1)), -1)
    found = probabilities.gather(-1, columns).topk(count)
    return found.values, columns.gather(-1, found.indices)


def limited_among(values: Tensor, limits: Limits, size: int) -> Tensor:
    """:func:`limited` for the greatest values of each row, the greatest first.

    It is right for rows whose last value becomes 0 and whose ``top_k`` is not between the number of values and
    ``size``, that of the vocabulary.
    """
    has_top_k = (limits.top_k < size)[:, None]
    last = values.gather(-1, (limits.top_k.clamp(max=values.shape[-1]) - 1)[:, None])
    kept = values.masked_fill(has_top_k & (values < last), 0.0)
    kept = torch.where(has_top_k, kept / kept.sum(-1, keepdim=True), kept)
    kept = kept.masked_fill((limits.top_p < 1)[:, None] & (kept < _crossing(kept, limits.top_p)), 0.0)
    return kept.masked_fill(kept < limits.min_p[:, None] * kept[:, :1], 0.0)


def limited(probabilities: Tensor, limits: Limits) -> Tensor:
    """What the limits leave of (rows, vocabulary), not normalised; zero elsewhere."""
    kept = nucleus(among_top_k(probabilities, limits.top_k), limits.top_p)
    if bool((limits.min_p > 0).any()):
        kept = kept.masked_fill(kept < (limits.min_p * kept.amax(-1))[:, None], 0.0)
    return kept


def among_top_k(probabilities: Tensor, top_k: Tensor) -> Tensor:
    """The distribution of the ``top_k`` likeliest tokens, and of those as likely as the last one; rows add up to 1.

    Args:
        probabilities: (rows, vocabulary).
        top_k: (rows,) int64, from 1; at least the size of the vocabulary for no limit.
    """
    size = probabilities.shape[-1]
    has_limit = top_k < size
    if not has_limit.any():
        return probabilities
    likeliest = probabilities.topk(int(top_k[has_limit].max())).values
    last = (top_k.clamp(max=likeliest.shape[-1]) - 1)[:, None]
    outside = (probabilities < likeliest.gather(-1, last)) & has_limit[:, None]
    kept = probabilities.masked_fill(outside, 0.0)
    return kept / kept.sum(-1, keepdim=True)


def nucleus(probabilities: Tensor, top_p: Tensor) -> Tensor:
    """Zero for the tokens outside the nucleus; (rows, vocabulary), not normalised.

    The reference's convention: a token goes if the mass *before* it exceeds ``top_p``; the one that crosses stays
    (and others that are exactly as likely, so that no order of sorting is asked for).
    """
    has_limit = top_p < 1
    if not has_limit.any():
        return probabilities
    # Tokens below this hold less than 1 - top_p together, so they are outside: the sort can leave them out.
    negligible = (1 - top_p) / probabilities.shape[-1]
    candidates = int((probabilities >= negligible[:, None])[has_limit].sum(-1).max())
    least = _crossing(probabilities.topk(max(candidates, 1)).values, top_p)
    return probabilities.masked_fill((probabilities < least) & has_limit[:, None], 0.0)


def _crossing(likeliest: Tensor, top_p: Tensor) -> Tensor:
    """(rows, 1): of values from the greatest on, the one with which their sum exceeds ``top_p``."""
    before = likeliest.cumsum(-1) - likeliest
    # Nothing is before the first token, except in a row without a distribution (NaN).
    crossing = ((before <= top_p[:, None]).sum(-1, keepdim=True) - 1).clamp(min=0)
    return likeliest.gather(-1, crossing)


def _inverse(weights: Tensor, uniform: Tensor, without: Tensor) -> Tensor:
    """Where the sums of (rows, columns) weights exceed the draws; ``without`` in rows of no weight."""
    cumulative = weights.double().cumsum(-1)
    mass = cumulative[:, -1]
    # Below the mass even where the product is rounded up to it: a token without probability is never drawn.
    draws = torch.minimum(uniform * mass, mass.nextafter(torch.zeros_like(mass)))
    drawn = torch.searchsorted(cumulative, draws[:, None], right=True)[:, 0]
    # Infinite logits (a temperature or a bias at the end of what float32 holds) have no distribution.
    return torch.where(mass > 0, drawn, without)
