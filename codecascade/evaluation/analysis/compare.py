"""Two evaluations of the same problems, problem by problem: what differs, whether by more than chance, and where."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from codecascade.evaluation.analysis.failures import ProblemOutcomes, outcomes_by_problem
from codecascade.evaluation.analysis.folder import Evaluation, MeasuredBenchmark, ProblemKey, read_evaluation
from codecascade.evaluation.analysis.per_problem import scores_of
from codecascade.evaluation.analysis.significance import paired
from codecascade.evaluation.metrics import Metric
from codecascade.evaluation.notation import NOT_RUN
from codecascade.evaluation.scores import Scores
from codecascade.ground.errors import UserError

SIGNIFICANT = 0.05
_FREE = frozenset({"seed"})  # may differ: the problems are compared themselves


class NotComparable(UserError):
    """A benchmark was measured on other problems, or by other settings."""


@dataclass(frozen=True)
class MetricDifference:
    """``second - first`` of one metric over ``difference.n`` problems that both answered."""

    metric: str
    first: Metric
    second: Metric
    difference: Metric
    p_value: float
    test: str
    higher_is_better: bool = True

    @property
    def verdict(self) -> str:
        """``better`` or ``worse`` where the test says so at the 5 % level, else ``""``."""
        if self.p_value >= SIGNIFICANT or self.difference.value == 0:
            return ""
        return "better" if (self.difference.value > 0) == self.higher_is_better else "worse"


@dataclass(frozen=True)
class ComparedProblem:
    """A problem and where it stands in the order of the samples (its page is found by that)."""

    key: ProblemKey
    first: int
    second: int

    @property
    def name(self) -> str:
        """The task id, with the layout where there are several."""
        return " ".join(part for part in self.key if part)


@dataclass(frozen=True)
class BenchmarkComparison:
    """One benchmark: differences, and the problems that one of the two solved (by any sample) and the other not.

    ``left_out`` are metrics that aren't means over problems, or of different ones. ``run_differences`` says in what the
    two runs differed although their settings are the same.
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
    """``only_first`` and ``only_second`` name benchmarks that the other doesn't have; ``not_compared`` are those that
    were measured on other problems or by other settings, with the sentence that says so."""

    first: Evaluation
    second: Evaluation
    benchmarks: tuple[BenchmarkComparison, ...]
    only_first: tuple[str, ...] = ()
    only_second: tuple[str, ...] = ()
    not_compared: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, str]:
        """The models' names, or the folders' where the models have the same."""
        if self.first.model != self.second.model:
            return self.first.model, self.second.model
        return _folders(self.first.folder, self.second.folder)

    def to_json(self) -> dict[str, Any]:
        """For programs; rates are fractions of 1."""
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
                    "gained": [_named(place.key) for place in compared.gained],
                    "lost": [_named(place.key) for place in compared.lost],
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
    """Compare two evaluation folders by the benchmarks that both have (or only those named).

    Raises:
        UserError: nothing in common; or a benchmark that was named (or all) was measured on other problems or by
            other settings.
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
    order = {place: number for number, place in enumerate(of_second)}
    places = [ComparedProblem(place, number, order[place]) for number, place in enumerate(of_first)]

    def solved_only_by(
        winner: dict[ProblemKey, ProblemOutcomes], loser: dict[ProblemKey, ProblemOutcomes]
    ) -> tuple[ComparedProblem, ...]:
        return tuple(p for p in places if winner[p.key].passed and not loser[p.key].passed)

    differences, left_out = _differences(first, second)
    return BenchmarkComparison(
        first.name,
        first.title,
        first.metric,
        len(places),
        tuple(differences),
        solved_only_by(of_second, of_first),
        solved_only_by(of_first, of_second),
        tuple(left_out),
        tuple(_unlike(first.conditions, second.conditions)),
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
        reason = "not a mean over problems" if one is None or two is None else _mismatch(one, two)
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


def _mismatch(first: Scores, second: Scores) -> str:
    if set(first.keys) != set(second.keys):
        return "of different problems"
    matched = _in_order(second, first.keys)
    for one, two in ((first.weights, matched.weights), (first.scored_bytes, matched.scored_bytes)):
        if one is not None and two is not None and not np.array_equal(one, two):
            return "losses per token of different tokenizers can't be compared"
    return ""


def _in_order(found: Scores, keys: Sequence[ProblemKey]) -> Scores:
    place = {key: number for number, key in enumerate(found.keys)}
    order = [place[key] for key in keys]
    weights, scored_bytes = (
        None if each is None else each[order] for each in (found.weights, found.scored_bytes)
    )
    return replace(
        found, keys=tuple(keys), values=found.values[order], weights=weights, scored_bytes=scored_bytes
    )


def _unlike(first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterator[str]:
    """What a reader has to know before the figures are laid to the models' charge."""

    def differ(name: str) -> bool:
        return name in first and name in second and first[name] != second[name]

    if differ("asked_in_chat"):
        yield "one model was asked in its chat format, the other continued prompts"
    if differ("source"):
        yield f"the data are {first['source']} and {second['source']}"
    if differ("confinement") and "none" in (first["confinement"], second["confinement"]):
        yield "the programs of one were not confined"


def _refuse_other_settings(first: MeasuredBenchmark, second: MeasuredBenchmark) -> None:
    other = {
        name: (first.settings[name], second.settings[name])
        for name in first.settings
        if name in second.settings and name not in _FREE and first.settings[name] != second.settings[name]
    }
    if other:
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
    """The shortest ends of two paths that tell them apart."""
    ones, twos = first.absolute().parts, second.absolute().parts
    for length in range(1, max(len(ones), len(twos)) + 1):
        if ones[-length:] != twos[-length:]:
            return "/".join(ones[-length:]), "/".join(twos[-length:])
    return str(first), str(second)
