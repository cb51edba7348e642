"""Prompt-lookup speculation: what followed the last tokens when they occurred before is guessed to follow again.

Code repeats itself, above all where it is edited: within a text, and from one completion to the next, for whoever
types what was proposed asks for the rest of it at the next key. One pass verifies a whole guess, and costs little
more than one for a single token, unless the batch keeps the machine busy anyway. So the gain is measured, and
guessing is left off while it does not pay (Saxena 2023, prompt lookup decoding).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from collections.abc import Sequence as SequenceOf
from weakref import WeakKeyDictionary

from codecascade.generation.engine.sequence import Sequence

# Tokens that have to agree before what followed them is guessed.
_NGRAM = 3
# The same in other texts, which resemble this one less.
_OTHERS_NGRAM = 4
# Tokens of other texts that are remembered, the latest ones.
_REMEMBERED = 1 << 14
# Of a draft: the first one, and the longest.
_FIRST, _LONGEST = 4, 15
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


class RecentTexts:
    """What followed each n-gram of the texts that were written last."""

    def __init__(self) -> None:
        # each with a text and the index in it of what follows
        self._last: dict[tuple[int, ...], tuple[list[int], int]] = {}
        self._texts: deque[list[int]] = deque()
        self.tokens = 0

    def add(self, ids: SequenceOf[int], start: int) -> None:
        """Remember a text that begins at index ``start`` of ``ids``, behind its prompt."""
        kept = list(ids[max(0, start - _OTHERS_NGRAM) :])[-_REMEMBERED:]
        if len(kept) <= _OTHERS_NGRAM:
            return
        for key, end in _ngrams(kept):
            self._last[key] = (kept, end)
        self._texts.append(kept)
        self.tokens += len(kept)
        while self.tokens > _REMEMBERED:
            self._forget(self._texts.popleft())

    def guess(self, ids: SequenceOf[int], most: int) -> list[int]:
        """The tokens after the latest occurrence of the last n-gram of ``ids``, at most ``most``; often none."""
        found = self._last.get(tuple(ids[-_OTHERS_NGRAM:]))
        if found is None:
            return []
        kept, start = found
        return kept[start : start + most]

    def _forget(self, text: list[int]) -> None:
        """Forget a text whole: one n-gram that no later text has would hold all of it."""
        self.tokens -= len(text)
        for key, _ in _ngrams(text):
            if (found := self._last.get(key)) is not None and found[0] is text:
                del self._last[key]


def _ngrams(text: list[int]) -> Iterator[tuple[tuple[int, ...], int]]:
    """The n-grams of a text, each with the index of what follows it."""
    for end in range(_OTHERS_NGRAM, len(text)):
        yield tuple(text[end - _OTHERS_NGRAM : end]), end


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
        self._recent = RecentTexts()

    def draft(self, sequences: SequenceOf[Sequence]) -> None:
        """Set the drafts of sequences that want one token each, for the next pass."""
        for sequence in sequences:
            sequence.draft = []
        if not sequences or not self._gain(len(sequences)).pays:
            return
        for sequence in sequences:
            if sequence.generated and sequence.can_be_drafted and sequence.room > 1:
                lookup = self._lookups.setdefault(sequence, PromptLookup())
                most = sequence.room - 1
                sequence.draft = self._recent.guess(sequence.ids, min(lookup.length, most))
                sequence.draft = sequence.draft or lookup.guess(sequence.ids, most)

    def remember(self, sequence: Sequence) -> None:
        """A sequence has ended: others may repeat its text."""
        self._recent.add(sequence.ids, len(sequence.request.ids))

    def forget(self) -> None:
        """Forget the texts that were written."""
        self._recent = RecentTexts()

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
