"""The next token of each sequence: what its text still permits, and the sampler's choice among that."""

from __future__ import annotations

import math
from collections.abc import Sequence as SequenceOf
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from codecascade.generation.engine.sampling.sampler import SamplingRow, Top, choose
from codecascade.generation.engine.sequence import Sequence


class LooksAhead(Protocol):
    """Who can tell what would follow a token that does not become part of the text."""

    def look_ahead(self, sequences: SequenceOf[Sequence], tokens: SequenceOf[int]) -> Tensor:
        """Logits (rows, vocabulary) after one more token of each sequence."""
        ...


@dataclass(frozen=True)
class Chosen:
    """A token, the model's own log-probability of it, and the likeliest tokens where they were asked for."""

    token: int
    logprob: float
    top: Top

    @property
    def is_broken(self) -> bool:
        """Whether the model gave no numbers, so that the token means nothing."""
        return math.isnan(self.logprob)


def select(
    runner: LooksAhead, sequences: SequenceOf[Sequence], logits: Tensor, vocab_size: int
) -> list[list[Chosen]]:
    """For each sequence the next token, and those after the tokens of its draft as far as the draft was right.

    A draft is verified exactly: at each of its tokens the choice is made with the draw that belongs to that token,
    and the draft is right as long as it says what is chosen.

    Args:
        logits: (rows, vocabulary): of each sequence one row, and one more for each token of its draft.
    """
    rows: list[SamplingRow] = []
    first: list[int] = []
    for sequence in sequences:
        first.append(len(rows))
        rows += [sequence.sampling_row(ahead) for ahead in range(1 + len(sequence.draft))]
    for index, token, value in _endings(runner, sequences, logits, first):
        rows[index].added = [(token, value)]
    choice = choose(logits, rows, vocab_size)
    # the one synchronisation of a pass
    tokens, logprobs = choice.tokens.tolist(), choice.logprobs.tolist()
    found = []
    for sequence, start in zip(sequences, first, strict=True):
        sequence.pass_others(choice.others.get(start, 0))
        right = 0
        while right < len(sequence.draft) and tokens[start + right] == sequence.draft[right]:
            right += 1
        chosen = range(start, start + right + 1)
        found.append([Chosen(tokens[row], logprobs[row], choice.top[row]) for row in chosen])
    return found


def _endings(
    runner: LooksAhead, sequences: SequenceOf[Sequence], logits: Tensor, rows: SequenceOf[int]
) -> list[tuple[int, int, float]]:
    """``(row, token, log-probability)`` that the text would not end right after the token, leaving it empty.

    For texts that must not be empty. A healed prompt's last bytes, as a token of their own, may well be how the
    model ends: in SPM nothing marks where the prefix ends, so the line break that is owed can be the one that
    ends a middle. What the model thinks of such a token is then mostly of the empty text, which is ruled out:
    one step ahead tells how much.
    """
    found = []
    for sequence, row in zip(sequences, rows, strict=True):
        if ids := sequence.may_leave_empty():
            likeliest = ids[int(logits[row, ids].argmax())]
            found.append((sequence, row, likeliest))
    if not found:
        return []
    after = runner.look_ahead([sequence for sequence, _, _ in found], [token for _, _, token in found])
    endings = []
    for (sequence, row, token), following in zip(found, after.float().log_softmax(-1), strict=True):
        following[sequence.stop_ids] = -torch.inf
        value = float(following.logsumexp(-1))
        # where the model gives no numbers nothing was learnt, and a token of which NaN is added would be the choice
        if not math.isnan(value):
            endings.append((row, token, value))
    return endings
