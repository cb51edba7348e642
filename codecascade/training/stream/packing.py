"""Packing: which examples, or segments of them, fill a row.

An indivisible example (an infilled document, a dialogue) is never cut. If it fits into a row but not into the rest of
this one, it waits for a later row. Any other example (a plain document) is cut where the row ends, and its remainder
comes when its source is due again. A row is filled in this order:

1. The example that has waited longest, so that none waits for ever.
2. While there is room: the longest waiting example that fits. If none fits, the next example of the source that is
   due: as much of it as there is room for, or, if it is indivisible, it joins those that wait.
3. Padding without weight, once ``LOOK_AHEAD`` examples wait and the next one does not fit either.

With the paper's infilling rate of 0.9 at least a tenth of all documents may be cut, and padding is rare
(``docs/stream.md`` has figures). At a rate of 1 the last tokens of a row may stay empty: no document is cut or left
without infilling to fill them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from codecascade.ground.errors import UserError
from codecascade.training.stream.examples import TrainingExample
from codecascade.training.stream.stream_sources import ExampleSequence

LOOK_AHEAD = 32
"""The number of examples that may wait."""
# How often as many examples as a source has are drawn for one that can be trained on. Each epoch deals them anew, so
# that a stream that draws so often misses the only one with a probability of e^-100.
_MOST_EPOCHS = 100

Key = tuple[int, int]
"""An example: the index of its source, and its number in the source's sequence."""


@dataclass(frozen=True, slots=True)
class Segment:
    """``example.ids[start:end]`` in a row."""

    source: str
    example: TrainingExample
    start: int
    end: int


class LogicalStream:
    """One of the ``stride`` streams that share the sources' examples: ``index``, ``index + stride``, ... of each.

    Args:
        context: tokens in a row.
    """

    def __init__(self, index: int, stride: int, sequences: Sequence[ExampleSequence], context: int) -> None:
        self._index, self._stride, self._sequences, self._context = index, stride, sequences, context
        shares = [sequence.source.share for sequence in sequences]
        self._shares = [share / sum(shares) for share in shares]
        # For each source: examples that are used up or wait, tokens that are in rows or wait, and tokens of the next
        # example that are in rows already.
        self._drawn = [0] * len(sequences)
        self._tokens = [0] * len(sequences)
        self._offsets = [0] * len(sequences)
        # the oldest first
        self._waiting: list[Key] = []
        # Those that wait and the next of each source, so that none is made twice. None: nothing to train on.
        self._made: dict[Key, TrainingExample | None] = {}

    # ---- state

    def state_dict(self) -> dict[str, Any]:
        """A few integers: examples are not saved, because they can be made again."""
        return {
            "drawn": list(self._drawn),
            "tokens": list(self._tokens),
            "offsets": list(self._offsets),
            "waiting": [list(key) for key in self._waiting],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._drawn, self._tokens, self._offsets = (
            list(state[name]) for name in ("drawn", "tokens", "offsets")
        )
        self._waiting = [(source, number) for source, number in state["waiting"]]
        self._made.clear()

    # ---- rows

    def next_row(self) -> tuple[list[Segment], Counter[str]]:
        """The segments of the next row, at most ``context`` tokens together, and counts as in a batch."""
        segments: list[Segment] = []
        counts: Counter[str] = Counter()
        room = self._context
        if self._waiting:
            segments.append(self._take_waiting(self._waiting[0]))
            room -= len(segments[-1].example)
        # a single token would have to be predicted from another document
        while room > 1:
            fitting = [key for key in self._waiting if len(self._example(key)) <= room]
            if fitting:
                longest = max(fitting, key=lambda key: len(self._example(key)))
                segments.append(self._take_waiting(longest))
                room -= len(segments[-1].example)
                continue
            source = self._due_source(room, counts)
            example = self._next_example(source, counts)
            if not example.indivisible:
                segments.append(self._take_next(source, example, room))
                room -= segments[-1].end - segments[-1].start
            elif len(example) <= room or len(self._waiting) < LOOK_AHEAD:
                self._waiting.append(self._next_key(source))
                self._tokens[source] += len(example)
                self._drawn[source] += 1
            else:
                break
        counts["padding"] = room
        for segment in segments:
            counts[f"tokens/{segment.source}"] += segment.end - segment.start
            if segment.start == 0:
                counts["documents"] += 1
                counts["fitting"] += len(segment.example) <= self._context
                counts["infilled"] += segment.example.infilled
                counts["truncated"] += segment.example.truncated
                counts["cut"] += segment.end < len(segment.example)
        return segments, counts

    def _take_waiting(self, key: Key) -> Segment:
        """A waiting example in its full length."""
        self._waiting.remove(key)
        example = self._example(key)
        del self._made[key]
        return Segment(self._name(key[0]), example, 0, len(example))

    def _take_next(self, source: int, example: TrainingExample, room: int) -> Segment:
        """As much of a source's next example as there is room for."""
        offset = self._offsets[source]
        # a later segment repeats one token, from which its first new one is predicted
        start = max(0, offset - 1)
        end = min(start + room, len(example))
        self._tokens[source] += end - offset
        self._offsets[source] = end
        if end == len(example):
            del self._made[self._next_key(source)]
            self._offsets[source] = 0
            self._drawn[source] += 1
        return Segment(self._name(source), example, start, end)

    def _due_source(self, room: int, counts: Counter[str]) -> int:
        """The source whose next segment comes first if the tokens of each source are spread evenly, by its share.

        The middle of the segment counts. If its start counted, a long document of a small source would come first in
        every stream, and a short run would train on much more of that source than its share.
        """

        def middle(source: int) -> float:
            example = self._next_example(source, counts)
            size = len(example) if example.indivisible else min(room, len(example) - self._offsets[source])
            return (self._tokens[source] + size / 2) / self._shares[source]

        return min(range(len(self._sequences)), key=middle)

    def _next_key(self, source: int) -> Key:
        return source, self._index + self._drawn[source] * self._stride

    def _next_example(self, source: int, counts: Counter[str]) -> TrainingExample:
        """A source's next example; draws with nothing to train on are passed over."""
        sequence = self._sequences[source]
        often = len(sequence.source.table) + 100
        for drawn in range(_MOST_EPOCHS * often):
            # other streams may have had all that there is
            if drawn == often and not sequence.has_any:
                break
            key = self._next_key(source)
            example = self._make(key)
            if example is not None and len(example):
                return example
            del self._made[key]
            self._drawn[source] += 1
            counts["passed_over"] += 1
            counts["too_long"] += example is not None
        raise UserError(
            f"the source {self._name(source)!r} gives nothing to train on: min_characters and max_characters leave "
            "nothing, or no answer of a dialogue begins within the sequence length"
        )

    def _example(self, key: Key) -> TrainingExample:
        """A waiting example."""
        example = self._make(key)
        assert example is not None
        return example

    def _make(self, key: Key) -> TrainingExample | None:
        source, number = key
        if key not in self._made:
            self._made[key] = self._sequences[source].example(number)
        return self._made[key]

    def _name(self, source: int) -> str:
        return self._sequences[source].source.name
