"""Packing: which pieces of which items fill a row.

What is whole (a filled document, a dialogue) is never cut: if it fits a row but not what is left of this one, it
waits. What isn't (a plain document, whether drawn so or longer than a row) is cut wherever a row ends, and its
remainder goes on when its source is due again. So a row is filled like this:

1. the item that has waited longest, so that none waits for ever;
2. as long as there is room: the longest waiting item that fits; else the next item of the source that is due, as
   far as it goes if it may be cut, and into the queue if it may not;
3. once ``LOOK_AHEAD`` items wait and the next one doesn't fit either, padding without weight.

With the paper's rate of 0.9 at least a tenth of all documents may be cut and padding is rare (``docs/stream.md`` has
figures); at a rate of 1 the last tokens of a row may stay empty, and no document is cut or left unfilled for them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from codecascade.ground.errors import UserError
from codecascade.training.stream.infill import Item
from codecascade.training.stream.sources import ItemSequence

LOOK_AHEAD = 32


@dataclass(frozen=True, slots=True)
class Piece:
    """``item.ids[start:end]`` in a row."""

    source: str
    item: Item
    start: int
    end: int


class LogicalStream:
    """One of the ``stride`` streams into which the sources are dealt out: items ``index``, ``index + stride``, ...

    Args:
        context: tokens in a row.
    """

    def __init__(self, index: int, stride: int, sequences: Sequence[ItemSequence], context: int) -> None:
        self._index, self._stride, self._sequences, self._context = index, stride, sequences, context
        shares = [sequence.source.share for sequence in sequences]
        self._shares = [share / sum(shares) for share in shares]
        self._drawn = [0] * len(sequences)  # items of each source that are done with
        self._tokens = [0] * len(sequences)  # of each source, in rows or waiting
        self._offsets = [0] * len(sequences)  # tokens of each source's next item that are in rows already
        self._waiting: list[tuple[int, int]] = []  # (source, number), the oldest first
        self._items: dict[tuple[int, int], Item | None] = {}  # those waiting and next, not to be made twice

    # ---------------------------------------------------------------- state

    def state_dict(self) -> dict[str, Any]:
        """Integers, and few of them: what is encoded can be encoded again."""
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
        self._items.clear()

    # ---------------------------------------------------------------- rows

    def next_row(self) -> tuple[list[Piece], Counter[str]]:
        """The pieces of the next row, at most ``context`` tokens together, and what happened on the way."""
        pieces: list[Piece] = []
        counts: Counter[str] = Counter()
        room = self._context
        if self._waiting:
            pieces.append(self._serve(self._waiting[0]))
            room -= len(pieces[-1].item)
        while room > 1:  # one token alone would be predicted from another document
            fitting = [key for key in self._waiting if len(self._item(key)) <= room]
            if fitting:
                pieces.append(self._serve(max(fitting, key=lambda key: len(self._item(key)))))
                room -= len(pieces[-1].item)
                continue
            source = self._due(room, counts)
            key = self._next(source)
            item = self._next_item(source, counts)
            if not item.whole:
                pieces.append(self._cut(source, item, room))
                room -= pieces[-1].end - pieces[-1].start
            elif len(item) <= room or len(self._waiting) < LOOK_AHEAD:
                self._waiting.append(key)
                self._tokens[source] += len(item)
                self._drawn[source] += 1
            else:
                break
        counts["padding"] = room
        for piece in pieces:
            counts[f"tokens/{piece.source}"] += piece.end - piece.start
            if piece.start == 0:
                counts["documents"] += 1
                counts["fitting"] += len(piece.item) <= self._context
                counts["infilled"] += piece.item.infilled
                counts["truncated"] += piece.item.truncated
                counts["cut"] += piece.end < len(piece.item)
        return pieces, counts

    def _serve(self, key: tuple[int, int]) -> Piece:
        """The whole item, which waits no longer."""
        self._waiting.remove(key)
        item = self._item(key)
        del self._items[key]
        return Piece(self._name(key[0]), item, 0, len(item))

    def _cut(self, source: int, item: Item, room: int) -> Piece:
        """As much of a source's next item as there is room for."""
        offset = self._offsets[source]
        start = max(0, offset - 1)  # the token from which the next one is predicted comes again
        end = min(start + room, len(item))
        self._tokens[source] += end - offset
        self._offsets[source] = end
        if end == len(item):
            del self._items[self._next(source)]
            self._offsets[source] = 0
            self._drawn[source] += 1
        return Piece(self._name(source), item, start, end)

    def _due(self, room: int, counts: Counter[str]) -> int:
        """The source whose next piece comes first if each source's tokens are spread evenly by its share.

        A piece is placed by its middle: short of that, a long document of a small source would come at once in every
        stream, and a short run would hold far more of the source than its share.
        """

        def middle(source: int) -> float:
            item = self._next_item(source, counts)
            size = len(item) if item.whole else min(room, len(item) - self._offsets[source])
            return (self._tokens[source] + size / 2) / self._shares[source]

        return min(range(len(self._sequences)), key=middle)

    def _next(self, source: int) -> tuple[int, int]:
        return source, self._index + self._drawn[source] * self._stride

    def _next_item(self, source: int, counts: Counter[str]) -> Item:
        """A source's next item, after those that have nothing to train on."""
        for _ in range(len(self._sequences[source].source.table) + 100):
            key = self._next(source)
            if (item := self._made(key)) is not None:
                return item
            del self._items[key]
            self._drawn[source] += 1
            counts["passed_over"] += 1
        raise UserError(
            f"the source {self._name(source)!r} gives nothing to train on: min_characters and max_characters leave "
            "nothing, or no answer of a dialogue lies within the sequence length"
        )

    def _item(self, key: tuple[int, int]) -> Item:
        """An item that waits."""
        item = self._made(key)
        assert item is not None
        return item

    def _made(self, key: tuple[int, int]) -> Item | None:
        if key not in self._items:
            self._items[key] = self._sequences[key[0]].item(key[1])
        return self._items[key]

    def _name(self, source: int) -> str:
        return self._sequences[source].source.name
