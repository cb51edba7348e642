"""Compares two evaluations problem by problem: what differs, whether by more than chance, and on which problems."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from codecascade.evaluation.analysis.evaluation_folder import (
    Evaluation,
    MeasuredBenchmark,
    ProblemKey,
    read_evaluation,
)
from codecascade.evaluation.analysis.failures import ProblemOutcomes, outcomes_by_problem
from codecascade.evaluation.analysis.per_problem import scores_of
from codecascade.evaluation.analysis.significance import paired
from codecascade.evaluation.evaluate_settings import is_judge_setting
from codecascade.evaluation.metrics import Metric
from codecascade.evaluation.notation import NOT_RUN
from codecascade.evaluation.scores import Scores
from codecascade.ground.errors import UserError

SIGNIFICANT = 0.05
# Settings that may differ. Whether the problems are the same is checked on the problems themselves.
_MAY_DIFFER = frozenset({"seed"})


class NotComparable(UserError):
    """The two models were measured on different problems, or with different settings."""


@dataclass(frozen=True)
class MetricDifference:
    """The difference ``second - first`` of one metric, over the ``difference.n`` problems that both answered."""

    metric: str
    first: Metric
    second: Metric
    difference: Metric
    p_value: float
    test: str
    higher_is_better: bool = True

    @property
    def verdict(self) -> str:
        """``better`` or ``worse`` if the test is significant at the 5 % level, else ``""``."""
        if self.p_value >= SIGNIFICANT or self.difference.value == 0:
            return ""
        return "better" if (self.difference.value > 0) == self.higher_is_better else "worse"


@dataclass(frozen=True)
class ComparedProblem:
    """A problem, and its index in the order of each evaluation's samples (by which its page is found)."""

    key: ProblemKey
    first: int
    second: int

    @property
    def name(self) -> str:
        """The task id, with the layout if there are several."""
        return " ".join(part for part in self.key if part)


@dataclass(frozen=True)
class BenchmarkComparison:
    """The comparison of one benchmark.

    Attributes:
        problems: how many both answered.
        differences: one for each metric that could be compared.
        gained: problems that the second model solved (by any sample) and the first did not.
        lost: problems that the first model solved and the second did not.
        left_out: metrics that could not be compared, with the reason.
        run_differences: how the two runs differed although their settings are the same.
    """

    name: str
    title: str
    metric: str
    problems: int
    differences: tuple[MetricDifference, ...]
    gained: tuple[ComparedProblem, ...] = ()
    lost: tuple[ComparedProblem, ...] = ()
    left_out: tuple[str, ...] = ()
    run_differences: tuple[str, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """The comparison of two evaluations.

    Attributes:
        only_first, only_second: benchmarks that the other evaluation does not have.
        not_compared: benchmarks that were measured on different problems or with different settings, with a sentence
            that says which.
    """

    first: Evaluation
    second: Evaluation
    benchmarks: tuple[BenchmarkComparison, ...]
    only_first: tuple[str, ...] = ()
    only_second: tuple[str, ...] = ()
    not_compared: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, str]:
        """The names of the models, or of the folders if the models have the same name."""
        if self.first.model != self.second.model:
            return self.first.model, self.second.model
        return _folders(self.first.folder, self.second.folder)

    def to_json(self) -> dict[str, Any]:
        """The comparison as JSON, for other programs. Rates are fractions of 1."""
        return {
            "first": {"folder": str(self.first.folder), "model": self.first.model},
            "second": {"folder": str(self.second.folder), "model": self.second.model},
            "benchmarks": {
                compared.name: {
                    "problems": compared.problems,
                    "metrics": {
                        row.metric: {
                            "first": asdict(row.first),
                            "second": asdict(row.second),
                            "difference": asdict(row.difference),
                            "p_value": row.p_value,
                            "test": row.test,
                            "verdict": row.verdict,
                        }
                        for row in compared.differences
                    },
                    "gained": [_named(problem.key) for problem in compared.gained],
                    "lost": [_named(problem.key) for problem in compared.lost],
                    "left_out": list(compared.left_out),
                    "unlike": list(compared.run_differences),
                }
                for compared in self.benchmarks
            },
            "only_first": list(self.only_first),
            "only_second": list(self.only_second),
            "not_compared": dict(self.not_compared),
        }


def compare(first: Path, second: Path, benchmarks: Collection[str] = ()) -> Comparison:
    """Compare two evaluation folders on the benchmarks that both have, or on the ``benchmarks`` that are named.

    Raises:
        UserError: they have no benchmark in common; or a benchmark that was named, or every benchmark, was measured
            on different problems or with different settings.
    """
    one, two = read_evaluation(first), read_evaluation(second)
    for name in benchmarks:
        for evaluation in (one, two):
            if name not in evaluation.benchmarks:
                raise UserError(
                    f"has no {name}; it has {', '.join(evaluation.benchmarks) or 'nothing'}",
                    file=evaluation.folder,
                )
    shared = [
        name for name in one.benchmarks if name in two.benchmarks and (not benchmarks or name in benchmarks)
    ]
    if not shared:
        raise UserError(
            f"nothing to compare: {one.folder} has {_listed(one)}, and {two.folder} has {_listed(two)}",
        )
    compared: list[BenchmarkComparison] = []
    refused: dict[str, UserError] = {}
    for name in shared:
        try:
            compared.append(_compare(one.benchmarks[name], two.benchmarks[name]))
        except NotComparable as error:
            refused[name] = error
    if refused and (benchmarks or not compared):
        raise next(iter(refused.values()))
    return Comparison(
        one,
        two,
        tuple(compared),
        tuple(name for name in one.benchmarks if name not in two.benchmarks),
        tuple(name for name in two.benchmarks if name not in one.benchmarks),
        {name: error.message for name, error in refused.items()},
    )


def _compare(first: MeasuredBenchmark, second: MeasuredBenchmark) -> BenchmarkComparison:
    _refuse_other_settings(first, second)
    of_first, of_second = outcomes_by_problem(first.rows()), outcomes_by_problem(second.rows())
    if not (of_first or of_second):
        return BenchmarkComparison(
            first.name, first.title, first.metric, 0, (), left_out=("there are no samples",)
        )
    _refuse_other_problems(first.name, first, second, set(of_first), set(of_second))
    index_in_second = {key: index for index, key in enumerate(of_second)}
    problems = [ComparedProblem(key, index, index_in_second[key]) for index, key in enumerate(of_first)]

    def solved_only_by(
        winner: dict[ProblemKey, ProblemOutcomes], loser: dict[ProblemKey, ProblemOutcomes]
    ) -> tuple[ComparedProblem, ...]:
        return tuple(p for p in problems if winner[p.key].passed and not loser[p.key].passed)

    differences, left_out = _differences(first, second)
    return BenchmarkComparison(
        first.name,
        first.title,
        first.metric,
        len(problems),
        tuple(differences),
        solved_only_by(of_second, of_first),
        solved_only_by(of_first, of_second),
        tuple(left_out),
        tuple(_run_differences(first.conditions, second.conditions)),
    )


def _differences(
    first: MeasuredBenchmark, second: MeasuredBenchmark
) -> tuple[list[MetricDifference], list[str]]:
    of_first, of_second = scores_of(first), scores_of(second)
    found, left_out = [], []
    for metric in first.metrics:
        if metric not in second.metrics:
            continue
        if not (first.metrics[metric].is_measured and second.metrics[metric].is_measured):
            left_out.append(f"{metric} ({NOT_RUN})")
            continue
        one, two = of_first.get(metric), of_second.get(metric)
        if one is not None and one.is_part:
            continue
        reason = "not a mean over problems" if one is None or two is None else mismatch(one, two)
        if one is None or two is None or reason:
            left_out.append(f"{metric} ({reason})")
            continue
        matched = _in_order(two, one.keys)
        difference, p_value, test = paired(
            one.values, matched.values, one.weights, exponential=one.exponential
        )
        better = first.higher_is_better if metric == first.metric else one.weights is None
        found.append(
            MetricDifference(
                metric, first.metrics[metric], second.metrics[metric], difference, p_value, test, better
            )
        )
    return found, left_out


def mismatch(first: Scores, second: Scores) -> str:
    """Why two figures can't be compared problem by problem; empty if they can."""
    if set(first.keys) != set(second.keys):
        return "of different problems"
    matched = _in_order(second, first.keys)
    for one, two in ((first.weights, matched.weights), (first.scored_bytes, matched.scored_bytes)):
        if one is not None and two is not None and not np.array_equal(one, two):
            return "losses per token of different tokenizers can't be compared"
    return ""


def _in_order(found: Scores, keys: Sequence[ProblemKey]) -> Scores:
    index_of = {key: index for index, key in enumerate(found.keys)}
    order = [index_of[key] for key in keys]
    weights, scored_bytes = (
        None if each is None else each[order] for each in (found.weights, found.scored_bytes)
    )
    return replace(
        found, keys=tuple(keys), values=found.values[order], weights=weights, scored_bytes=scored_bytes
    )


def _run_differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterator[str]:
    """Differences between the runs, which may be the cause of differences between the figures."""

    def differ(name: str) -> bool:
        return name in first and name in second and first[name] != second[name]

    if differ("asked_in_chat"):
        yield "one model was asked in its chat format, the other continued prompts"
    if differ("judge"):
        yield (
            f"one was judged by {first['judge']}, the other by {second['judge']}, so a difference may be one of the "
            "judges"
        )
    if differ("source"):
        yield f"the data are {first['source']} and {second['source']}"
    if differ("confinement") and "none" in (first["confinement"], second["confinement"]):
        yield "the programs of one were not confined"


def differing_settings(first: MeasuredBenchmark, second: MeasuredBenchmark) -> dict[str, tuple[Any, Any]]:
    """The settings that concern what is asked and judged, and differ, with both values."""
    return {
        name: (first.settings[name], second.settings[name])
        for name in first.settings
        if name in second.settings
        and name not in _MAY_DIFFER
        and not is_judge_setting(name)
        and first.settings[name] != second.settings[name]
    }


def _refuse_other_settings(first: MeasuredBenchmark, second: MeasuredBenchmark) -> None:
    if other := differing_settings(first, second):
        listed = ", ".join(f"{name} {one!r} and {two!r}" for name, (one, two) in other.items())
        raise NotComparable(f"measured by other settings: {listed}; measure both alike", key=first.name)


def _refuse_other_problems(
    name: str,
    first: MeasuredBenchmark,
    second: MeasuredBenchmark,
    ones: set[ProblemKey],
    twos: set[ProblemKey],
) -> None:
    if ones == twos:
        return
    if {task_id for task_id, _ in ones} == {task_id for task_id, _ in twos}:
        layouts = [" and ".join(sorted({layout for _, layout in each})) or "none" for each in (ones, twos)]
        raise NotComparable(
            f"asked in other layouts ({layouts[0]}; {layouts[1]}): a model without infilling tokens continues the "
            "prefix, which is another task",
            key=name,
        )
    example = sorted(ones ^ twos)[0][0]
    folders = first.samples_file.parent.parent, second.samples_file.parent.parent
    raise NotComparable(
        f"not the same problems: {folders[0]} has {len(ones):,}, {folders[1]} has {len(twos):,}, and "
        f"{len(ones & twos):,} are in both (only one has {example}); measure both with the same --limit and --seed",
        key=name,
    )


def _named(key: ProblemKey) -> str:
    return " ".join(part for part in key if part)


def _listed(evaluation: Evaluation) -> str:
    return ", ".join(evaluation.benchmarks) or "nothing"


def _folders(first: Path, second: Path) -> tuple[str, str]:
    """The shortest ends of two paths that differ."""
    ones, twos = first.absolute().parts, second.absolute().parts
    for length in range(1, max(len(ones), len(twos)) + 1):
        if ones[-length:] != twos[-length:]:
            return "/".join(ones[-length:]), "/".join(twos[-length:])
    return str(first), str(second)
