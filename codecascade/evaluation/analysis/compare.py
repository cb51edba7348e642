"""Compares two evaluations problem by problem: what differs, whether by more than chance, and on which problems."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from codecascade.evaluation.analysis.differences import (
    MetricDifference,
    differing_settings,
    in_order,
    mismatch,
    more_is_better,
    settings_of_one,
)
from codecascade.evaluation.analysis.evaluation_folder import (
    Evaluation,
    MeasuredBenchmark,
    ProblemKey,
    read_evaluation,
)
from codecascade.evaluation.analysis.failures import outcomes_by_problem
from codecascade.evaluation.analysis.gains import Gain, gains_on_other_layouts
from codecascade.evaluation.analysis.per_problem import scores_of
from codecascade.evaluation.analysis.significance import paired
from codecascade.evaluation.notation import NOT_RUN
from codecascade.evaluation.scores import Scores
from codecascade.ground.errors import UserError

_NAMED = 6
"""Settings that are named one by one where one evaluation does not tell them."""


class NotComparable(UserError):
    """The two models were measured on different problems, or with different settings."""


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
                        f"{row.metric} against {row.against}" if row.against else row.metric: {
                            "first": asdict(row.first),
                            "second": asdict(row.second),
                            "difference": asdict(row.difference),
                            "p_value": row.p_value,
                            "test": row.test,
                            "verdict": row.verdict,
                        }
                        for row in compared.differences
                    },
                    "gained": [problem.name for problem in compared.gained],
                    "lost": [problem.name for problem in compared.lost],
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
    scores = scores_of(first), scores_of(second)
    others = gains_on_other_layouts(first, second, *scores)
    layouts = {layout for _, layout in of_first} & {layout for _, layout in of_second}
    ones, twos = ({key for key in each if not layouts or key[1] in layouts} for each in (of_first, of_second))
    if not layouts and others:
        pairs = _pairs(others[0])
        differences: list[MetricDifference] = []
        left_out: list[str] = []
    else:
        _refuse_other_problems(first.name, first, second, ones, twos)
        pairs = [(key, key) for key in of_first if key in ones]
        differences, left_out = _differences(first, second, *scores)

    places_in_first, places_in_second = (
        {key: index for index, key in enumerate(each)} for each in (of_first, of_second)
    )

    def problems(solved_by_second: bool) -> tuple[ComparedProblem, ...]:
        return tuple(
            ComparedProblem(two, places_in_first[one], places_in_second[two])
            for one, two in pairs
            if bool(of_second[two].passed) == solved_by_second
            and bool(of_first[one].passed) != solved_by_second
        )

    return BenchmarkComparison(
        first.name,
        first.title,
        first.metric,
        len(pairs),
        (*differences, *(gain.compared for gain in others)),
        problems(solved_by_second=True),
        problems(solved_by_second=False),
        tuple(left_out),
        tuple(_run_differences(first, second)),
    )


def _pairs(gain: Gain) -> list[tuple[ProblemKey, ProblemKey]]:
    """The keys of each problem of a gain, in the layout of the first and in that of the second."""
    return [((task_id, gain.before_layout), (task_id, gain.after_layout)) for task_id in gain.problems]


def _differences(
    first: MeasuredBenchmark,
    second: MeasuredBenchmark,
    of_first: Mapping[str, Scores],
    of_second: Mapping[str, Scores],
) -> tuple[list[MetricDifference], list[str]]:
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
        matched = in_order(two, one.keys)
        difference, p_value, test = paired(
            one.values, matched.values, one.weights, exponential=one.exponential
        )
        better = more_is_better(first.name, metric)
        found.append(
            MetricDifference(
                metric, first.metrics[metric], second.metrics[metric], difference, p_value, test, better
            )
        )
    return found, left_out


def _run_differences(one: MeasuredBenchmark, other: MeasuredBenchmark) -> Iterator[str]:
    """Differences between the runs, which may be the cause of differences between the figures."""
    first, second = one.conditions, other.conditions
    if unknown := settings_of_one(one, other):
        names = ", ".join(unknown[:_NAMED]) + (" and others" if len(unknown) > _NAMED else "")
        yield f"whether both were measured with the same {names} is not known: one of the two does not say"

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


def _listed(evaluation: Evaluation) -> str:
    return ", ".join(evaluation.benchmarks) or "nothing"


def _folders(first: Path, second: Path) -> tuple[str, str]:
    """The shortest ends of two paths that differ."""
    ones, twos = first.absolute().parts, second.absolute().parts
    for length in range(1, max(len(ones), len(twos)) + 1):
        if ones[-length:] != twos[-length:]:
            return "/".join(ones[-length:]), "/".join(twos[-length:])
    return str(first), str(second)
