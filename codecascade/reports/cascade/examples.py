"""Gaps of a benchmark with the answers of two models: a fair choice of what was gained, lost, and stayed the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from codecascade.evaluation.analysis.evaluation_folder import MeasuredBenchmark, SampleRow, TaskRow
from codecascade.evaluation.analysis.gains import Gain, ModelGains
from codecascade.evaluation.analysis.significance import are_zero_or_one
from codecascade.ground.errors import UserError

SHOWN = 6
"""How many gaps are shown, at most."""
KINDS = ("gained", "lost", "right in both", "wrong in both")


@dataclass(frozen=True)
class ExampleGap:
    """A gap and what two models wrote into it.

    Attributes:
        title: its file and line, if the benchmark tells them, else its id.
        kind: one of :data:`KINDS`.
        language: of the text.
        before, after: the text around the gap, of which the nearest lines.
        answers: the name of each model, what it wrote, and whether that is right.
    """

    task_id: str
    title: str
    kind: str
    language: str
    before: str
    after: str
    expected: str
    answers: tuple[tuple[str, str, bool], ...]


@dataclass(frozen=True)
class ExampleGaps:
    """Gaps in the proportion of what became of all of them.

    Attributes:
        counts: all of them, by kind.
        unit: what they are, in the plural (``lines``).
    """

    counts: Mapping[str, int]
    gaps: tuple[ExampleGap, ...]
    unit: str

    @property
    def rule(self) -> str:
        """How they were chosen, in a sentence."""
        total = sum(self.counts.values())
        counts = ", ".join(f"{count:,} {kind}" for kind, count in self.counts.items())
        return (
            f"Of these {total:,} {self.unit} ({counts}) {len(self.gaps)} are shown, of each kind its share, rounded. "
            "Which ones is decided by a hash of the problem's name, not by what was written."
        )


def example_gaps(gain: Gain, gains: ModelGains, models: tuple[str, str], unit: str) -> ExampleGaps | None:
    """Gaps with the answers of the two ``models`` of a gain; None if its scores are not right or wrong,
    or the answers can't be read.

    Args:
        unit: what the gain's problems are, in the plural.
    """
    if not (are_zero_or_one(gain.before) and are_zero_or_one(gain.after)):
        return None
    sides = []
    for model, layout in zip(models, (gain.before_layout, gain.after_layout), strict=True):
        evaluation = gains.evaluation(model)
        if evaluation is None:
            return None
        sides.append((evaluation.benchmarks[gain.benchmark], layout))
    by_kind = _by_kind(gain)
    counts = {kind: len(problems) for kind, problems in by_kind.items()}
    chosen = {
        problem: kind
        for (kind, problems), many in zip(
            by_kind.items(), proportional(list(counts.values()), SHOWN), strict=True
        )
        for problem in sorted(problems, key=_draw)[:many]
    }
    try:
        first, second = (_answers(*side, chosen) for side in sides)
        asked = {row["task_id"]: row for row in sides[1][0].asked() if row["task_id"] in chosen}
    except UserError:
        # A file was changed since it was written. The figures do not depend on the examples.
        return None
    right = dict(zip(gain.problems, zip(gain.before == 1, gain.after == 1, strict=True), strict=True))
    gaps = [
        ExampleGap(
            problem,
            _title(asked[problem]),
            kind,
            # Benchmarks of one language do not name it: theirs is Python.
            str(asked[problem].get("language", "python")),
            tail(str(asked[problem].get("prompt", "")), 14),
            head(str(asked[problem].get("suffix", "")), 8),
            str(asked[problem].get("expected", "")),
            tuple(
                (model, str(answers[problem].get("completion", "")), bool(is_right))
                for model, answers, is_right in zip(models, (first, second), right[problem], strict=True)
            ),
        )
        for problem, kind in chosen.items()
        if problem in asked and problem in first and problem in second
    ]
    return ExampleGaps(counts, tuple(gaps), unit) if gaps else None


def proportional(counts: Sequence[int], total: int) -> list[int]:
    """``total`` seats by the largest remainder; of fewer things than seats each has one."""
    everything = sum(counts)
    if everything <= total:
        return list(counts)
    exact = np.array(counts, np.float64) * total / everything
    seats = np.floor(exact).astype(int)
    order = sorted(range(len(counts)), key=lambda index: (seats[index] - exact[index], index))
    for index in order[: total - int(seats.sum())]:
        seats[index] += 1
    return [int(seat) for seat in seats]


def _by_kind(gain: Gain) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {kind: [] for kind in KINDS}
    for problem, before, after in zip(gain.problems, gain.before, gain.after, strict=True):
        alike = "right in both" if after else "wrong in both"
        found[alike if before == after else "gained" if after else "lost"].append(problem)
    return found


def _title(task: TaskRow) -> str:
    path, line = task.get("path"), task.get("line")
    return str(task["task_id"]) if path is None else f"{path}, line {line}" if line is not None else str(path)


def _draw(problem: str) -> bytes:
    return blake2b(problem.encode(errors="surrogatepass"), digest_size=8).digest()


def _answers(measured: MeasuredBenchmark, layout: str, chosen: Mapping[str, str]) -> dict[str, SampleRow]:
    found: dict[str, SampleRow] = {}
    for row in measured.rows():
        if row["task_id"] in chosen and str(row.get("format", "")) == layout:
            found.setdefault(row["task_id"], row)
    return found


def tail(text: str, lines: int) -> str:
    """The last lines of a text."""
    return "\n".join(text.split("\n")[-lines:])


def head(text: str, lines: int) -> str:
    """The first lines of a text."""
    return "\n".join(text.split("\n")[:lines])
