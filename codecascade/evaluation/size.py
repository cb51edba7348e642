"""How much a benchmark asks, about: what ``codecascade plan`` reckons with before anything is loaded."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TokenEstimate:
    """Tokens that a model reads and writes."""

    read: int
    written: int = 0


@dataclass(frozen=True)
class BenchmarkSize:
    """A benchmark's ``problems``; tokens that a prompt has and that an answer of the usual length has; and how many
    layouts a problem is asked in."""

    problems: int
    prompt: int
    answer: int
    layouts: int = 1

    def tokens(self, limit: int | None, samples: int) -> TokenEstimate:
        """Of so many samples of each of ``limit`` problems (None: all). The samples of a prompt share its reading."""
        problems = self.problems if limit is None else min(self.problems, limit)
        asked = problems * self.layouts
        return TokenEstimate(self.prompt * asked, self.answer * asked * samples)
