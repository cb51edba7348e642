"""How much a benchmark asks: the estimates that ``codecascade plan`` uses before anything is loaded."""

from __future__ import annotations

from dataclasses import dataclass


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
