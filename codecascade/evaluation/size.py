"""How much a benchmark asks: estimates before anything is loaded, and of texts whose tokens a server counts."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

_COUNTED = 20_000
"""Characters of a text that a server counts."""
_PIECE = re.compile(r"\w{1,4}|[^\w\s]|\s+")
"""About a token: long words and numbers have several."""


def counter_by_pieces(text: str, count_tokens: Callable[[str], int]) -> Callable[[str], int]:
    """Counts the tokens of parts of a text, of which a beginning was counted once.

    A part has as many tokens for each of its words and signs as that beginning, rounded up; one, where the text is
    empty.
    """
    sample = text[:_COUNTED]
    pieces = len(_PIECE.findall(sample))
    a_piece = count_tokens(sample) / pieces if pieces else 1.0
    return lambda part: math.ceil(a_piece * len(_PIECE.findall(part)))


@dataclass(frozen=True)
class TokenEstimate:
    """Tokens that a model reads and writes."""

    read: int
    written: int = 0


@dataclass(frozen=True)
class BenchmarkSize:
    """The size of a benchmark.

    Attributes:
        problems: how many there are.
        prompt, answer: the usual length of each, in tokens.
        layouts: in how many layouts each problem is asked.
    """

    problems: int
    prompt: int
    answer: int
    layouts: int = 1

    def tokens(self, limit: int | None, samples: int) -> TokenEstimate:
        """The tokens of ``samples`` samples of each of ``limit`` problems (None: all). A prompt is read once."""
        problems = self.problems if limit is None else min(self.problems, limit)
        asked = problems * self.layouts
        return TokenEstimate(self.prompt * asked, self.answer * asked * samples)
