"""The account of everything that a build left out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Dropped:
    """Counts by step and reason; benchmark matches are also listed by name, for somebody to look at."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    benchmark_matches: list[dict[str, str]] = field(default_factory=list)

    def add(self, step: str, reason: str, count: int = 1) -> None:
        if count:
            self.counts[step, reason] += count

    def by_step(self) -> dict[str, dict[str, int]]:
        """``{step: {reason: documents}}``, most frequent reasons first."""
        table: dict[str, dict[str, int]] = {}
        for (step, reason), count in sorted(self.counts.items(), key=lambda item: (-item[1], item[0])):
            table.setdefault(step, {})[reason] = count
        return dict(sorted(table.items()))

    def __str__(self) -> str:
        most = self.counts.most_common(5)
        return ", ".join(f"{count} x {reason}" for (_, reason), count in most) or "no files at all"
