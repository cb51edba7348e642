"""Which memory of llama.cpp a sequence gets: the one that already holds most of its beginning."""

from __future__ import annotations

from dataclasses import dataclass, field

from codecascade.generation.engine.sequence import Sequence
from codecascade.generation.llama_cpp.runtime import Runtime

_STEP = 256
"""Tokens that are compared at a time."""


@dataclass(eq=False)
class Slot:
    """Memory of one sequence.

    Attributes:
        tokens: what it holds.
        sequence: who uses it; None for what is kept for later requests.
        used: a number that counts up with each use.
    """

    number: int
    tokens: list[int] = field(default_factory=list)
    sequence: Sequence | None = None
    used: int = 0


class Slots:
    """All slots of a runtime."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._all = [Slot(number) for number in range(runtime.slots)]
        self._uses = 0

    @property
    def held(self) -> int:
        """Tokens that are held; shared ones count more than once."""
        return sum(len(slot.tokens) for slot in self._all)

    def take(self, sequence: Sequence) -> Slot | None:
        """A slot for a sequence, whose ``computed`` says how much of it is already there; None if all are in use.

        At least the last token is left, because its logits are needed.
        """
        idle = [slot for slot in self._all if slot.sequence is None]
        if not idle:
            return None
        most = len(sequence.ids) - 1
        source = max(self._all, key=lambda slot: common(slot.tokens, sequence.ids))
        length = min(common(source.tokens, sequence.ids), most)
        oldest = min(idle, key=lambda slot: (bool(slot.tokens), slot.used))
        if source is oldest or (source.sequence is None and 2 * length >= len(source.tokens)):
            slot = source
            self._cut(slot, length)
        else:
            # What another request may come back to is not cut; the slot that nobody used for longest is.
            slot = oldest
            self._cut(slot, 0)
            if length:
                self._runtime.copy(source.number, slot.number, length)
                slot.tokens = source.tokens[:length]
        sequence.computed = len(slot.tokens)
        slot.sequence = sequence
        self._touch(slot)
        return slot

    def give_back(self, slot: Slot, *, forget: bool = False) -> None:
        """A sequence has ended. Its tokens stay for requests that begin the same way, or are forgotten."""
        slot.sequence = None
        self._touch(slot)
        if forget:
            self._cut(slot, 0)

    def forget_oldest(self) -> bool:
        """Free the memory of the slot that was not used for longest; False if all are in use or empty."""
        idle = [slot for slot in self._all if slot.sequence is None and slot.tokens]
        if not idle:
            return False
        self._cut(min(idle, key=lambda slot: slot.used), 0)
        return True

    def _cut(self, slot: Slot, length: int) -> None:
        if len(slot.tokens) > length or not length:
            kept = self._runtime.truncate(slot.number, length)
            del slot.tokens[kept:]

    def _touch(self, slot: Slot) -> None:
        self._uses += 1
        slot.used = self._uses


def common(first: list[int], second: list[int]) -> int:
    """The length of the beginning that two lists share.

    >>> common([1, 2, 3], [1, 2, 4, 5])
    2
    """
    most = min(len(first), len(second))
    start = 0
    while start < most and first[start : start + _STEP] == second[start : start + _STEP]:
        start += _STEP
    if start >= most:
        return most
    return next((at for at in range(start, most) if first[at] != second[at]), most)
