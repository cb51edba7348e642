"""Where a completion at an editor's cursor ends.

A model that fills a gap does not always stop at its end. It types what stands after the cursor again, begins the next
function, or closes brackets that are closed already. What is cut here is decided by the text alone, letter by letter,
so that it does not depend on how the text is split into tokens:

- **the suffix typed again** (:mod:`~codecascade.generation.editing.repeats`);
- **the end of the block**, by indentation, blank lines and definitions
  (:mod:`~codecascade.generation.editing.blocks`);
- **a bracket that is not the completion's to close** (:mod:`~codecascade.generation.editing.brackets`);
- a code fence, which chat models put around code;
- the end of the line, and a time limit, where the editor asks for them.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from codecascade.generation.editing.cutter import FENCE, Cutter
from codecascade.generation.editing.stops import EditorStops, StopReason


class EditorStopper:
    """Cuts one completion; work and memory are linear in its length.

    The texts of all :meth:`push` calls and of :meth:`finish`, put together, are the completion. They are the same
    however the text is split, but for the time limit.
    """

    def __init__(self, stops: EditorStops, clock: Callable[[], float] = time.monotonic) -> None:
        self._cutter = Cutter(stops)
        self._limit, self._clock = stops.time_limit, clock
        self._first_text: float | None = None
        self._is_late = False
        # The first letters, as long as they may be a fence before the code; then None.
        self._opening: str | None = "" if self._cutter.has_fences else None
        # The same, as long as they may be what stands before the cursor.
        self._typed, self._begun = self._cutter.typed, ""

    @property
    def stopped_by(self) -> StopReason | None:
        """Why the completion is over; None as long as it goes on."""
        return self._cutter.stopped_by or ("time" if self._is_late else None)

    def push(self, text: str) -> str:
        """Read more text; what of the completion is certain now."""
        if self.stopped_by is not None:
            return ""
        if self._first_text is None and text:
            self._first_text = self._clock()
        given = self._cutter.push(self._without_typed(self._without_opening(text)))
        if self._limit is not None and self._cutter.has_line_break and self.stopped_by is None:
            self._is_late = self._clock() - (self._first_text or 0.0) > self._limit
            if self._is_late:
                given += self._cutter.finish()
        return given

    def finish(self) -> str:
        """What was held back, cut where it has to be, once no more text comes."""
        if self.stopped_by is not None:
            return ""
        opening, self._opening = self._opening or "", None
        given = "" if opening.lstrip().startswith(FENCE[:2]) else self._without_typed(opening)
        given, self._typed = given + self._begun, ""
        return self._cutter.push(given) + self._cutter.finish()

    def _without_typed(self, text: str) -> str:
        """What stands before the cursor is no part of the completion (``import import os``)."""
        if not self._typed:
            return text
        text, self._begun = self._begun + text, ""
        if len(text) < len(self._typed) and self._typed.startswith(text):
            self._begun = text
            return ""
        text, self._typed = text.removeprefix(self._typed), ""
        return text

    def _without_opening(self, text: str) -> str:
        """A fence before the code is no part of the completion."""
        if self._opening is None:
            return text
        self._opening += text
        begun = self._opening.lstrip()
        if begun.startswith(FENCE):
            _, line_break, text = begun.partition("\n")
            if line_break:
                self._opening = None
            return text
        if FENCE.startswith(begun):
            return ""
        text, self._opening = self._opening, None
        return text
