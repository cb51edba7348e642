"""Which of a run's stages its advice is about, and what that stage gained on the base on held-out code.

The best stage is named: by the figure that a reader understands first, and of those that are alike by the more
sensitive one. To choose it and to test it by the same problems would find too many gains. So its p-values are
multiplied by the number of stages, and its intervals are wider by the same level (Bonferroni).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from codecascade.evaluation.analysis.gains import Gain, ModelGains
from codecascade.evaluation.benchmarks.table import BENCHMARKS
from codecascade.evaluation.task import Benchmark, UseFigure

_FigureOf = tuple[str, str]
"""A benchmark, and its metric."""


@dataclass(frozen=True)
class Finding:
    """A gain in a figure that tells whether a model is of use."""

    benchmark: Benchmark
    figure: UseFigure
    gain: Gain

    @property
    def of(self) -> _FigureOf:
        return self.benchmark.name, self.figure.metric


@dataclass(frozen=True)
class Choice:
    """The stage that is advised.

    Attributes:
        found: what it gained, by tests that are corrected for the choice.
        said: by which figure it is the best, and of how many stages, in a sentence; empty if it is the only one.
    """

    stage: str
    found: list[Finding]
    said: str


def advised_stage(base: str, stages: Sequence[str], gains: ModelGains) -> str | None:
    """The stage that a report's advice is about; None if base and stages were not both measured on held-out code."""
    choice = choose(base, stages, gains)
    return choice.stage if choice else None


def choose(base: str, stages: Sequence[str], gains: ModelGains) -> Choice | None:
    """The best of the stages; None if base and stages were not both measured on held-out code."""
    found = {name: {each.of: each for each in _findings(base, name, gains)} for name in stages}

    def first(names: Sequence[str], *, sensitive_only: bool = False) -> _FigureOf | None:
        """The first figure that one of these stages has."""
        for benchmark, figure in _figures():
            of = benchmark.name, figure.metric
            if (figure.sensitive or not sensitive_only) and any(of in found[name] for name in names):
                return of
        return None

    def gained(name: str, of: _FigureOf) -> float:
        return improvement(found[name][of]) if of in found[name] else -math.inf

    if (leading := first(stages)) is None:
        return None
    measured = [name for name in stages if leading in found[name]]
    most = max(gained(name, leading) for name in measured)
    alike = [name for name in measured if gained(name, leading) == most]
    # which the answer names where the leading one shows nothing
    second = first(alike, sensitive_only=True) or leading
    best = max(alike, key=lambda name: gained(name, second))
    if len(measured) == 1:
        return Choice(best, list(found[best].values()), "")
    by, then = (found[best][of].figure.name for of in (leading, second))
    left = [name for name in alike if gained(name, second) == gained(best, second)]
    if len(alike) == 1:
        why = f"{best} is the best by {by}"
    elif len(left) == 1:
        how = "alike" if alike == measured else "the best"
        why = f"{_named(alike)} are {how} by {by}, and of these {best} is the best by {then}"
    else:
        how = "alike" if left == measured else "the best"
        why = f"{_named(left)} are {how} by {_named([*dict.fromkeys((by, then))])}, of which {best} is the first"
    return Choice(
        best,
        # once more, with the tests corrected for the choice
        _findings(base, best, gains, chosen_of=len(measured)),
        f"Of {len(measured)} stages that were measured so, {why}; tests and intervals are corrected for the choice "
        "(Bonferroni).",
    )


def _named(names: Sequence[str]) -> str:
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)


def improvement(finding: Finding) -> float:
    """The difference of the figure, above 0 where it got better."""
    return finding.gain.compared.difference.value * (1 if finding.figure.higher_is_better else -1)


def _figures() -> list[tuple[Benchmark, UseFigure]]:
    """All figures that tell of use: those that a reader understands first, then the sensitive ones."""
    ranked = sorted(BENCHMARKS.values(), key=lambda benchmark: benchmark.rank)
    found = [(benchmark, figure) for benchmark in ranked for figure in benchmark.tells_use]
    return sorted(found, key=lambda each: each[1].sensitive)


def _findings(base: str, stage: str, gains: ModelGains, *, chosen_of: int = 1) -> list[Finding]:
    found = []
    for benchmark, figure in _figures():
        gain = gains.between(
            base,
            stage,
            benchmark.name,
            figure.metric,
            higher_is_better=figure.higher_is_better,
            chosen_of=chosen_of,
        )
        if gain is not None:
            found.append(Finding(benchmark, figure, gain))
    return found
