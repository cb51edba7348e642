"""Choosing tokens. Each row has one random number a step, drawn by (seed, sample, step) alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from codecascade.generation.engine.sampling.distribution import Limits, draw
from codecascade.generation.engine.sampling.token_counts import TokenCounts, penalise
from codecascade.generation.requests import SamplingParams

Top = tuple[tuple[int, float], ...]

# What a row chooses where none of its tokens is permitted.
NO_TOKEN = -1
# A token is nearly as likely as another from a fifth of its probability on.
_NEARLY = math.log(0.2)


@dataclass(slots=True)
class SamplingRow:
    """What decides the next token of one row, beside its logits.

    Attributes:
        uniform: the draw in [0, 1); not used at temperature 0.
        counts: the tokens so far, for penalties; None where the settings have none.
        allowed: the only tokens that may come; None for all.
        forbidden: tokens that may not come.
        added: ``(token, what is added to its logit)``, beside the bias that the settings name.
        grammar_mask: (vocab_size / 32, rounded up) bits of the tokens that a grammar allows, the lowest first; None
            for all.
        others: how many tokens that are nearly as likely as the likeliest are passed before one is taken instead of
            it, the last of them; 0 takes the likeliest. Only at temperature 0.
        no_others: tokens that are not taken like that.
    """

    params: SamplingParams
    uniform: float = 0.0
    counts: TokenCounts | None = None
    allowed: Sequence[int] | None = None
    forbidden: Collection[int] = ()
    added: Sequence[tuple[int, float]] = ()
    grammar_mask: NDArray[np.int32] | None = None
    others: int = 0
    no_others: Collection[int] = ()


@dataclass(frozen=True, slots=True)
class Choice:
    """The next token of each row.

    Attributes:
        tokens: (rows,) int64; :data:`NO_TOKEN` where none is permitted.
        logprobs: (rows,) float32, natural logarithms of the model's own probabilities of ``tokens``: temperature 1,
            nothing added, nothing ruled out.
        top: of each row the ``(token, logprob)`` that its settings ask for, likeliest first.
        others: of each row with :attr:`SamplingRow.others`, by its index, how many of them were there, at most those.
    """

    tokens: Tensor
    logprobs: Tensor
    top: list[Top]
    others: dict[int, int]


@torch.inference_mode()
def choose(logits: Tensor, rows: Sequence[SamplingRow], vocab_size: int) -> Choice:
    """The next token of each row.

    Args:
        logits: (rows, at least ``vocab_size``), any float dtype. They may be overwritten.
        vocab_size: columns from here on are padding, which no row chooses.
    """
    logits = logits.float()
    logprobs = logits.log_softmax(-1)
    top = _top(logprobs[:, :vocab_size], rows)
    scores = _permitted(logits[:, :vocab_size], rows)
    tokens = scores.argmax(-1)
    sampled = [index for index, row in enumerate(rows) if row.params.temperature > 0]
    if len(sampled) == len(rows):
        tokens = _sample(scores, rows, tokens)
    elif sampled:
        tokens[sampled] = _sample(scores[sampled], [rows[index] for index in sampled], tokens[sampled])
    others = {
        index: _take_other(scores[index], row, tokens[index]) for index, row in enumerate(rows) if row.others
    }
    chosen = tokens[:, None]
    of_chosen = logprobs.gather(-1, chosen)[:, 0]
    # no token is the likeliest of those that are ruled out
    tokens = tokens.masked_fill(scores.gather(-1, chosen)[:, 0] == -torch.inf, NO_TOKEN)
    return Choice(tokens, of_chosen, top, others)


def _take_other(logits: Tensor, row: SamplingRow, token: Tensor) -> int:
    """Put another token into ``token``, the likeliest, if there are as many as the row wants to pass.

    Args:
        logits: (vocab_size,), as far as they are permitted.

    Returns:
        How many there were.
    """
    likeliest = logits.topk(min(row.others + 1 + len(row.no_others), len(logits)))
    near = likeliest.values >= likeliest.values[0] + _NEARLY
    ids = [
        other
        for other, is_near in zip(likeliest.indices.tolist(), near.tolist(), strict=True)
        if is_near and other != int(token) and other not in row.no_others
    ][: row.others]
    if len(ids) == row.others:
        token.fill_(ids[-1])
    return len(ids)


def _top(logprobs: Tensor, rows: Sequence[SamplingRow]) -> list[Top]:
    """The likeliest tokens of each row that asks for some."""
    found: list[Top] = [()] * len(rows)
    wanted = [index for index, row in enumerate(rows) if row.params.logprobs]
    if not wanted:
        return found
    most = max(rows[index].params.logprobs or 0 for index in wanted)
    likeliest = logprobs[wanted].topk(min(most, logprobs.shape[-1]))
    for index, ids, scores in zip(wanted, likeliest.indices.tolist(), likeliest.values.tolist(), strict=True):
        found[index] = tuple(zip(ids, scores, strict=True))[: rows[index].params.logprobs]
    return found


def _permitted(logits: Tensor, rows: Sequence[SamplingRow]) -> Tensor:
    """The logits (rows, vocab_size) with bias and penalties; minus infinity for the tokens that may not come.

    In place: the model's own probabilities were computed before.
    """
    added = [
        (index, token, bias)
        for index, row in enumerate(rows)
        if row.added or row.params.logit_bias
        for token, bias in (*row.added, *row.params.logit_bias)
        if token < logits.shape[-1]
    ]
    counted = [(index, row.params, row.counts) for index, row in enumerate(rows) if row.counts is not None]
    if added:
        indices, tokens, biases = zip(*added, strict=True)
        where = (_tensor(indices, logits), _tensor(tokens, logits))
        logits.index_put_(
            where, torch.tensor(biases, dtype=torch.float32, device=logits.device), accumulate=True
        )
    if counted:
        penalise(logits, counted)
    forbidden = [(index, token) for index, row in enumerate(rows) for token in row.forbidden]
    if forbidden:
        logits[tuple(_tensor(forbidden, logits).T)] = -torch.inf
    for index, row in enumerate(rows):
        if row.allowed is not None:
            values = logits[index, row.allowed]
            logits[index] = -torch.inf
            logits[index, row.allowed] = values
    masked = [(index, row.grammar_mask) for index, row in enumerate(rows) if row.grammar_mask is not None]
    if masked:
        bits = np.stack([mask for _, mask in masked]).view(np.uint8)
        allowed = np.unpackbits(bits, axis=-1, bitorder="little")[:, : logits.shape[-1]].astype(bool)
        of_mask = [index for index, _ in masked]
        logits[of_mask] = logits[of_mask].masked_fill_(
            torch.from_numpy(~allowed).to(logits.device), -torch.inf
        )
    return logits


def _sample(logits: Tensor, rows: Sequence[SamplingRow], likeliest: Tensor) -> Tensor:
    """A token of each row, drawn; see :mod:`~codecascade.generation.engine.sampling.distribution`."""

    def of_rows(value: Callable[[SamplingRow], float], dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.tensor([value(row) for row in rows], dtype=dtype, device=logits.device)

    limits = Limits(
        of_rows(lambda row: row.params.top_k or logits.shape[-1], torch.int64),
        of_rows(lambda row: row.params.top_p),
        of_rows(lambda row: row.params.min_p),
    )
    probabilities = torch.softmax(logits / of_rows(lambda row: row.params.temperature)[:, None], -1)
    return draw(probabilities, limits, of_rows(lambda row: row.uniform, torch.float64), likeliest)


def _tensor(values: Sequence[int] | Sequence[tuple[int, int]], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=torch.int64, device=like.device)
