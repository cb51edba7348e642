"""Prompt-lookup speculation: what followed the last tokens when they occurred before is guessed to follow again.

Code repeats itself, above all where it is edited. One pass verifies a whole guess, and costs little more than one
for a single token, unless the batch keeps the machine busy anyway. So the gain is measured, and guessing is left
off while it does not pay (Saxena 2023, prompt lookup decoding).
"""

from __future__ import annotations

from collections.abc import Sequence as SequenceOf
from weakref import WeakKeyDictionary

from codecascade.generation.engine.sequence import Sequence

# Tokens that have to agree before what followed them is guessed.
_NGRAM = 3
# Of a draft: the first one, and the longest.
_FIRST, _LONGEST = 4, 16
# Passes between two trials of what did not pay, at first and at most.
_SOONEST, _LATEST = 16, 512
# Passes without drafts that have to be measured first, and how often one is measured again.
_MEASURED, _AGAIN = 3, 32
# The weight of a new measurement.
_WEIGHT = 0.2


class PromptLookup:
    """Where each n-gram of a growing text occurred last."""

    def __init__(self) -> None:
        self.length = _FIRST
        self._last: dict[tuple[int, ...], int] = {}
        self._known = 0

    def guess(self, ids: SequenceOf[int], most: int) -> list[int]:
        """The tokens after the last occurrence of the text's last n-gram, at most ``most``; often none."""
        # the n-gram at the end of the text is looked up before it is known itself
        for end in range(max(self._known + 1, _NGRAM), len(ids)):
            self._last[tuple(ids[end - _NGRAM : end])] = end
        self._known = max(self._known, len(ids) - 1)
        start = self._last.get(tuple(ids[-_NGRAM:]))
        if start is None or len(ids) < _NGRAM:
            return []
        return list(ids[start : start + min(self.length, most)])

    def learn(self, drafted: int, accepted: int) -> None:
        """Guess more after a guess that was right, less after one that was not."""
        self.length = min(_LONGEST, 2 * self.length) if accepted == drafted else max(1, accepted + 1)


class _Gain:
    """What drafts are worth in batches of about one size: tokens a second with them, divided by that without."""

    def __init__(self) -> None:
        # seconds of a row in a pass without drafts
        self.plain: float | None = None
        self.measured = 0
        self.gain = 1.0
        self.passes = 0
        self.wait = _SOONEST
        self.next = 0

    @property
    def pays(self) -> bool:
        """Whether the next pass should have drafts."""
        self.passes += 1
        if self.measured < _MEASURED or self.passes % _AGAIN == 0:
            return False
        return self.gain >= 1 or self.passes >= self.next

    def without(self, rows: int, seconds: float) -> None:
        of_row = seconds / rows
        self.plain = of_row if self.plain is None else self.plain + _WEIGHT * (of_row - self.plain)
        self.measured += 1

    def with_drafts(self, tokens: int, seconds: float) -> None:
        if self.plain is None:
            return
        latest = tokens * self.plain / seconds
        self.gain += _WEIGHT * (latest - self.gain)
        if self.gain >= 1 or latest >= 1:
            # a good trial is repeated at once, until the mean is good, too
            self.next, self.wait = self.passes, _SOONEST
        else:
            self.next, self.wait = self.passes + self.wait, min(_LATEST, 2 * self.wait)


class Drafter:
    """Gives sequences drafts where that was measured to be faster, apart for each size of a batch."""

    def __init__(self) -> None:
        self._lookups = WeakKeyDictionary[Sequence, PromptLookup]()
        self._gains: dict[int, _Gain] = {}

    def draft(self, sequences: SequenceOf[Sequence]) -> None:
        """Set the drafts of sequences that want one token each, for the next pass."""
        for sequence in sequences:
            sequence.draft = []
        if not sequences or not self._gain(len(sequences)).pays:
            return
        for sequence in sequences:
            if sequence.generated and sequence.can_be_drafted and sequence.room > 1:
                lookup = self._lookups.setdefault(sequence, PromptLookup())
                sequence.draft = lookup.guess(sequence.ids, sequence.room - 1)

    def observe(self, rows: int, drafted: bool, chosen: int, seconds: float) -> None:
        """Learn from a pass in which all of ``rows`` sequences decoded and nothing else was read.

        Args:
            drafted: whether any had a draft.
            chosen: tokens that the pass gave.
        """
        if drafted:
            self._gain(rows).with_drafts(chosen, seconds)
        else:
            self._gain(rows).without(rows, seconds)

    def learn(self, sequence: Sequence, drafted: int, accepted: int) -> None:
        """Whether the draft of a sequence was right."""
        if (lookup := self._lookups.get(sequence)) is not None:
            lookup.learn(drafted, accepted)

    def _gain(self, rows: int) -> _Gain:
        return self._gains.setdefault(rows.bit_length(), _Gain())
