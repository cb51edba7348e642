"""Compares groups of models, whose members differ in their seeds alone, figure by figure.

Two intervals answer two questions. That over the problems says whether these models differ on such problems. That
over the seeds, which needs three of them, says whether other models, trained in the same way, would differ too.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from codecascade.evaluation.analysis.differences import ROUNDING, in_order, mismatch, more_is_better
from codecascade.evaluation.analysis.evaluation_folder import MeasuredBenchmark, read_evaluation
from codecascade.evaluation.analysis.per_problem import scores_of
from codecascade.evaluation.analysis.significance import paired
from codecascade.evaluation.metrics import SIGNIFICANT, Metric
from codecascade.evaluation.scores import ProblemKey, Scores
from codecascade.ground.errors import UserError
from codecascade.ground.format import listed

LEAST_SEEDS = 3
_T_97_5 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
"""The 97.5 % quantiles of Student's t for 1 to 10 degrees of freedom; beyond, 10's is a little too wide."""


@dataclass(frozen=True)
class GroupDifference:
    """How one figure of a group differs from the reference's.

    Attributes:
        first, second: the mean of the figure over the members of the reference and of the group.
        difference: ``second - first`` over the problems, of scores that are averaged over the members.
        p_value: of a test over the problems.
        by_seed: the difference of each pair of members, in the order of ``pairs``.
        over_seeds: their mean with Student's interval; None for fewer than three pairs, or where all differences are
            the same, as they may be over few problems: then they say nothing about the spread of other seeds.
    """

    first: float
    second: float
    difference: Metric
    p_value: float
    test: str
    by_seed: tuple[float, ...]
    over_seeds: Metric | None
    higher_is_better: bool
    pairs: tuple[tuple[str, str], ...] = ()
    """The members that were compared: those of which both are measured."""

    @property
    def verdict(self) -> str:
        """``better`` or ``worse`` where the difference is beyond chance, else an empty string.

        The test over the problems must find it: a few problems may differ alike with every seed. Where there is an
        interval over the seeds, it must not include 0 either.
        """
        value, seeds = self.difference.value, self.over_seeds
        decided = self.p_value < SIGNIFICANT and abs(value) > ROUNDING
        if seeds is not None:
            decided = decided and (seeds.low > 0 if value > 0 else seeds.high < 0)
        if not decided:
            return ""
        return "better" if (value > 0) == self.higher_is_better else "worse"


class Figures:
    """One figure of many models, each read once from its evaluation.

    Args:
        evaluations: the folder with the evaluation of each model.
        settings_differ: settings that may differ between two models.
    """

    def __init__(self, evaluations: Path, settings_differ: Collection[str] = ()) -> None:
        self._evaluations, self._differ = evaluations, frozenset(settings_differ)
        self._measured: dict[str, Mapping[str, MeasuredBenchmark]] = {}
        self._scores: dict[tuple[str, str], tuple[MeasuredBenchmark, dict[str, Scores]]] = {}

    def compare(
        self,
        benchmark: str,
        metric: str,
        first: Sequence[str],
        second: Sequence[str],
        *,
        against: str | None = None,
    ) -> GroupDifference:
        """``second - first`` of a figure; the members are names of models, matched one by one.

        Pairs of which a model is not measured yet are left out while there are others: seeds are trained one after
        the other, and the first ones answer already.

        Args:
            against: the metric of ``first``; None: the same.

        Raises:
            UserError: no pair is measured, a model has no such figure, or they were not asked the same.
        """
        members = tuple(zip(first, second, strict=True))
        waiting = {*self.not_measured(benchmark, (*first, *second))}
        members = tuple(pair for pair in members if waiting.isdisjoint(pair)) or members
        pairs = [self._matched(benchmark, against or metric, metric, one, two) for one, two in members]
        shared = set.intersection(*({*one.keys} for one, _ in pairs))
        if not shared:
            raise UserError(
                f"the models of {benchmark} have no problem in common; measure all by the same seed"
            )
        keys = tuple(key for key in pairs[0][0].keys if key in shared)
        ordered = [(in_order(one, keys), in_order(two, keys)) for one, two in pairs]
        reference = ordered[0][0]
        # the scores of all pairs are averaged, so they must be of the same weights
        if any(mismatch(reference, one) for one, _ in ordered[1:]):
            raise UserError(_of_other_tokenizers(metric, first))
        difference, p_value, test = paired(
            np.mean([one.values for one, _ in ordered], axis=0),
            np.mean([two.values for _, two in ordered], axis=0),
            reference.weights,
            exponential=reference.exponential,
        )
        figures = [(one.figure, two.figure) for one, two in ordered]
        by_seed = tuple(after - before for before, after in figures)
        return GroupDifference(
            float(np.mean([before for before, _ in figures])),
            float(np.mean([after for _, after in figures])),
            difference,
            p_value,
            test,
            by_seed,
            over_seeds(by_seed),
            more_is_better(benchmark, metric),
            members,
        )

    def not_measured(self, benchmark: str, models: Sequence[str]) -> list[str]:
        """Those of the models that the benchmark has not measured yet, each once."""
        return [model for model in dict.fromkeys(models) if self._why_not_measured(benchmark, model)]

    def check(self, benchmark: str, metric: str, model: str) -> None:
        """Raises:
        UserError: the model has no such figure that can be compared.
        """
        _, scores = self._read(benchmark, model)
        if metric not in scores:
            listed = ", ".join(scores) or "none"
            raise UserError(f"{model} has no {metric} of {benchmark} by problem; it has {listed}")

    def _matched(
        self, benchmark: str, metric_of_first: str, metric: str, first: str, second: str
    ) -> tuple[Scores, Scores]:
        """The scores of two models on the problems of both."""
        one, of_one = self._read(benchmark, first)
        two, of_two = self._read(benchmark, second)
        self._refuse_other_settings(one, two, first, second)
        for model, wanted in ((first, metric_of_first), (second, metric)):
            self.check(benchmark, wanted, model)
        before, after = of_one[metric_of_first], of_two[metric]
        if {*before.keys} != {*after.keys}:
            # in other layouts the same problems have other keys
            before, after = _by_task(before), _by_task(after)
        if {*before.keys} != {*after.keys}:
            both = len({*before.keys} & {*after.keys})
            raise UserError(
                f"{first} and {second} were not asked the same: {len(before.keys):,} and {len(after.keys):,} "
                f"problems, {both:,} of them in both"
            )
        if mismatch(before, after):
            raise UserError(_of_other_tokenizers(metric, (first, second)))
        return before, after

    def _read(self, benchmark: str, model: str) -> tuple[MeasuredBenchmark, dict[str, Scores]]:
        key = benchmark, model
        if key not in self._scores:
            if why := self._why_not_measured(benchmark, model):
                raise UserError(why)
            with _naming(model):
                measured = self._benchmarks(model)[benchmark]
                self._scores[key] = measured, scores_of(measured)
        return self._scores[key]

    def _why_not_measured(self, benchmark: str, model: str) -> str:
        if not (self._evaluations / model / "results.json").exists():
            return f"{model} is not measured yet"
        return "" if benchmark in self._benchmarks(model) else f"{model} is not measured by {benchmark} yet"

    def _benchmarks(self, model: str) -> Mapping[str, MeasuredBenchmark]:
        if model not in self._measured:
            with _naming(model):
                self._measured[model] = read_evaluation(self._evaluations / model).benchmarks
        return self._measured[model]

    def _refuse_other_settings(
        self, one: MeasuredBenchmark, two: MeasuredBenchmark, first: str, second: str
    ) -> None:
        if one.version != two.version:
            raise UserError(
                f"{first} and {second} were measured by versions {one.version} and {two.version} of {one.name}; "
                "measure both by the same version"
            )
        other = [
            f"{name} {one.settings[name]!r} and {two.settings[name]!r}"
            for name in one.settings
            if name in two.settings and name not in self._differ and one.settings[name] != two.settings[name]
        ]
        if other:
            raise UserError(
                f"{first} and {second} were measured by other settings ({', '.join(other)}); measure both alike, or "
                "name what the question is about in settings_differ"
            )


def over_seeds(differences: Sequence[float]) -> Metric | None:
    """The mean of the differences of each seed with Student's 95 % interval.

    None for fewer than three differences, and where all are the same.
    """
    n = len(differences)
    # rates over few problems may differ by the same number of problems with every seed
    if n < LEAST_SEEDS or np.ptp(differences) <= ROUNDING:
        return None
    mean = float(np.mean(differences))
    half = _T_97_5[min(n - 1, len(_T_97_5)) - 1] * float(np.std(differences, ddof=1)) / math.sqrt(n)
    return Metric(mean, mean - half, mean + half, n)


@contextmanager
def _naming(model: str) -> Iterator[None]:
    """Errors of a file name the model and the file's name, for reports are read on other machines."""
    try:
        yield
    except UserError as error:
        what = ": ".join(filter(None, (Path(error.file or "").name, error.key, error.message)))
        raise UserError(f"the evaluation of {model} can't be read ({what})") from None


def _of_other_tokenizers(metric: str, models: Sequence[str]) -> str:
    return (
        f"{metric} of {listed(models)} is per token of different tokenizers, which can't be compared; "
        "compare bits_per_byte"
    )


def _by_task(scores: Scores) -> Scores:
    """The scores by task alone, where each task was asked in one layout."""
    keys: tuple[ProblemKey, ...] = tuple((task, "") for task, _ in scores.keys)
    return replace(scores, keys=keys) if len({*keys}) == len(keys) else scores
