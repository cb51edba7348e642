"""Follows a text that has to be an instance of a grammar: which tokens may come next, by the ``llguidance`` library.

The library bounds the work of each step in its own units, which may still be many seconds in a single call, and such
a call can't be stopped. So a mask is computed in a thread of its own (the library lets others run meanwhile), and a
text that waits for its masks too long is over. Grammars are read in
:mod:`~codecascade.generation.engine.sampling.grammar_compiler`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import llguidance

_SECONDS, _SECONDS_OF_TOKEN = 2.0, 0.02
"""How long the masks of a text may take: so long, and so much longer with each token that it has."""
# One call at a time is waited for; the others are those that nobody waits for any more.
_THREADS = ThreadPoolExecutor(32, "grammar mask")


class GrammarMatcher:
    """Follows one text.

    Args:
        eos_id: the token that the library takes for the end of a text.
    """

    def __init__(
        self,
        matcher: llguidance.LLMatcher,
        eos_id: int,
        vocab_size: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._matcher, self._eos_id = matcher, eos_id
        self._words = -(-vocab_size // 32)
        self._clock = clock
        self._seconds = _SECONDS
        # A call may still be at work on the matcher, which nobody else can use then.
        self._is_late = False

    def copy(self) -> GrammarMatcher:
        """Another text that begins as this one, with the time that every text has."""
        other = GrammarMatcher.__new__(GrammarMatcher)
        other.__dict__.update(self.__dict__, _matcher=self._matcher.deep_copy(), _seconds=_SECONDS)
        return other

    @property
    def is_broken(self) -> bool:
        """Whether the text can't go on, because the grammar became too complex or its masks took too long."""
        return self._is_late or self._matcher.is_error()

    @property
    def is_finished(self) -> bool:
        """Whether the text is an instance to which nothing can be added."""
        return not self._is_late and self._matcher.is_stopped()

    def mask(self, stop_ids: Sequence[int]) -> NDArray[np.int32]:
        """The tokens that may come next, as bits of (vocabulary / 32, rounded up) numbers, the lowest first.

        Args:
            stop_ids: the tokens that end the text; allowed where it may end, or can't go on (:attr:`is_broken`).
        """
        mask = np.zeros(self._words, dtype=np.int32)
        ends = True
        if not self.is_broken and not self._matcher.is_stopped():
            if self._compute(mask):
                ends = bool(_bit(mask, self._eos_id))
            else:
                mask = np.zeros(self._words, dtype=np.int32)
        for token in {*stop_ids, self._eos_id}:
            _set_bit(mask, token, ends and token in stop_ids)
        return mask

    def _compute(self, mask: NDArray[np.int32]) -> bool:
        """Fill ``mask``; False if it took too long or can't be done. A late thread still writes into this mask."""
        start = self._clock()
        call = _THREADS.submit(lambda: self._matcher.unsafe_compute_mask_ptr(mask.ctypes.data, mask.nbytes))
        try:
            call.result(max(0.0, self._seconds))
        except TimeoutError:
            self._is_late = True
        self._seconds += _SECONDS_OF_TOKEN - (self._clock() - start)
        return not self.is_broken

    def push(self, token: int) -> None:
        """The text has one more token, which the mask allowed; not one that ended it."""
        if not self._is_late:
            self._matcher.consume_token(token)


def _bit(mask: NDArray[np.int32], token: int) -> int:
    return int(mask.view(np.uint32)[token // 32]) >> token % 32 & 1


def _set_bit(mask: NDArray[np.int32], token: int, value: bool) -> None:
    words = mask.view(np.uint32)
    bit = np.uint32(1 << token % 32)
    words[token // 32] = words[token // 32] | bit if value else words[token // 32] & ~bit
