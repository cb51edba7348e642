"""Groups of models against each other: over the problems, and over the seeds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from evaluations import sample, write_evaluation

from codecascade.evaluation.analysis.groups import Figures, over_seeds
from codecascade.evaluation.benchmarks.table import BENCHMARKS
from codecascade.evaluation.scores import metrics_of
from codecascade.ground.errors import UserError

TASKS = [f"HumanEval/{number}" for number in range(20)]


def write(folder: Path, model: str, solved: int, settings: dict[str, object] | None = None) -> None:
    rows = [sample(task, number < solved) for number, task in enumerate(TASKS)]
    about = None if settings is None else {"humaneval": {"settings": settings}}
    write_evaluation(folder / model, {"humaneval": rows}, model=model, about=about)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for model, solved in (("a0", 4), ("a1", 5), ("a2", 6), ("b0", 12), ("b1", 14), ("b2", 13)):
        write(tmp_path, model, solved)
    return tmp_path


def test_three_seeds_have_an_interval_of_their_own(folder: Path) -> None:
    found = Figures(folder).compare("humaneval", "pass@1", ["a0", "a1", "a2"], ["b0", "b1", "b2"])
    assert found.by_seed == pytest.approx((0.40, 0.45, 0.35))
    assert found.over_seeds is not None
    assert found.over_seeds.value == pytest.approx(0.4)
    half = 4.303 * 0.05 / np.sqrt(3)
    assert (found.over_seeds.low, found.over_seeds.high) == pytest.approx((0.4 - half, 0.4 + half))
    assert (found.first, found.second) == pytest.approx((0.25, 0.65))
    assert found.difference.value == pytest.approx(0.4) and found.difference.n == 20
    assert found.verdict == "better"


def test_seeds_that_disagree_decide_nothing_although_the_problems_would(folder: Path) -> None:
    write(folder, "c0", 20)
    write(folder, "c1", 5)
    write(folder, "c2", 6)
    found = Figures(folder).compare("humaneval", "pass@1", ["a0", "a1", "a2"], ["c0", "c1", "c2"])
    assert found.p_value < 0.05
    assert found.verdict == ""


def test_differences_without_a_spread_say_nothing_about_other_seeds(folder: Path) -> None:
    """One problem more with every seed is a difference of one problem."""
    for seed, solved in enumerate((5, 6, 7)):
        write(folder, f"c{seed}", solved)
    found = Figures(folder).compare("humaneval", "pass@1", ["a0", "a1", "a2"], ["c0", "c1", "c2"])
    assert found.by_seed == pytest.approx((0.05, 0.05, 0.05))
    assert found.over_seeds is None and found.verdict == ""


def test_seeds_that_agree_decide_nothing_where_the_problems_would_not(folder: Path) -> None:
    """The seeds agree about these problems; other problems may say the opposite."""
    for seed, solved in enumerate((6, 7, 7)):
        write(folder, f"c{seed}", solved)
    found = Figures(folder).compare("humaneval", "pass@1", ["a0", "a1", "a2"], ["c0", "c1", "c2"])
    assert found.over_seeds is not None and found.over_seeds.low == pytest.approx(0.083 - 0.072, abs=2e-3)
    assert found.p_value > 0.05 and found.verdict == ""


def test_one_seed_is_tested_over_the_problems(folder: Path) -> None:
    found = Figures(folder).compare("humaneval", "pass@1", ["b0"], ["a0"])
    assert found.over_seeds is None
    assert found.test == "exact McNemar"
    assert found.verdict == "worse"
    assert Figures(folder).compare("humaneval", "pass@1", ["a0"], ["a1"]).verdict == ""


def test_seeds_that_are_not_measured_yet_are_left_out(folder: Path) -> None:
    figures, first, second = Figures(folder), ["a0", "late", "a2"], ["b0", "b1", "later"]
    found = figures.compare("humaneval", "pass@1", first, second)
    assert found.pairs == (("a0", "b0"),) and found.by_seed == pytest.approx((0.4,))
    assert (found.first, found.second) == pytest.approx((0.2, 0.6)) and found.verdict == "better"
    assert figures.not_measured("humaneval", [*first, *second]) == ["late", "later"]
    with pytest.raises(UserError, match="late is not measured yet"):
        figures.compare("humaneval", "pass@1", ["late"], ["b0"])


@pytest.mark.parametrize("values", [[0.1], [0.1, 0.2]])
def test_fewer_than_three_seeds_have_no_interval(values: list[float]) -> None:
    assert over_seeds(values) is None


def test_settings_may_differ_where_the_question_is_about_them(folder: Path) -> None:
    write(folder, "healed", 12, {"heal": True, "seed": 0})
    write(folder, "unhealed", 4, {"heal": False, "seed": 0})
    with pytest.raises(UserError, match=r"measured by other settings \(heal True and False\)"):
        Figures(folder).compare("humaneval", "pass@1", ["healed"], ["unhealed"])
    found = Figures(folder, ["heal"]).compare("humaneval", "pass@1", ["healed"], ["unhealed"])
    assert found.verdict == "worse"


def test_what_can_not_be_compared_is_said(folder: Path) -> None:
    figures = Figures(folder, ["version"])
    write_evaluation(
        folder / "later", {"humaneval": [sample("HumanEval/0", True)]}, about={"humaneval": {"version": 2}}
    )
    with pytest.raises(UserError, match="a0 and later were measured by versions 1 and 2 of humaneval"):
        figures.compare("humaneval", "pass@1", ["a0"], ["later"])
    with pytest.raises(UserError, match=r"a0 has no pass@9 of humaneval by problem; it has pass@1"):
        figures.compare("humaneval", "pass@9", ["a0"], ["b0"])
    with pytest.raises(UserError, match="a0 is not measured by mbpp yet"):
        figures.compare("mbpp", "pass@1", ["a0"], ["b0"])
    write_evaluation(folder / "few", {"humaneval": [sample("HumanEval/0", True)]}, model="few")
    with pytest.raises(UserError, match="were not asked the same: 20 and 1 problems, 1 of them in both"):
        figures.compare("humaneval", "pass@1", ["a0"], ["few"])


def losses(folder: Path, model: str, documents: range, tokens: int = 100) -> None:
    rows = [{"task_id": f"d{n}", "nats": 50.0 + n, "tokens": tokens, "bytes": 300} for n in documents]
    metrics = metrics_of(BENCHMARKS["validation"].scores(rows))
    write_evaluation(folder / model, {"validation": rows}, model=model, metrics={"validation": metrics})


def test_seeds_that_were_asked_other_problems_have_no_mean(tmp_path: Path) -> None:
    for seed, documents in enumerate((range(5), range(5, 10))):
        for group in "ab":
            losses(tmp_path, f"{group}{seed}", documents)
    with pytest.raises(UserError, match="have no problem in common"):
        Figures(tmp_path).compare("validation", "loss", ["a0", "a1"], ["b0", "b1"])


def test_seeds_with_other_tokenizers_have_no_mean_per_token(tmp_path: Path) -> None:
    for seed, tokens in enumerate((100, 150)):
        for group in "ab":
            losses(tmp_path, f"{group}{seed}", range(5), tokens)
    figures = Figures(tmp_path)
    with pytest.raises(UserError, match="loss of a0, a1 is per token of different tokenizers"):
        figures.compare("validation", "loss", ["a0", "a1"], ["b0", "b1"])
    assert figures.compare("validation", "bits_per_byte", ["a0", "a1"], ["b0", "b1"]).difference.value == 0


def test_a_damaged_evaluation_is_named(folder: Path) -> None:
    (folder / "a0" / "samples" / "humaneval.jsonl").write_text("{")
    (folder / "b0" / "results.json").write_text('{"models": []}')
    figures = Figures(folder)
    with pytest.raises(
        UserError, match=r"the evaluation of a0 can't be read \(humaneval.jsonl:1: is not valid JSON"
    ):
        figures.compare("humaneval", "pass@1", ["a0"], ["a1"])
    with pytest.raises(
        UserError, match=r"the evaluation of b0 can't be read \(results.json: models: must be"
    ):
        figures.compare("humaneval", "pass@1", ["a1"], ["b0"])


def test_two_layouts_of_the_same_problems_are_paired(tmp_path: Path) -> None:
    rows = [
        {**sample(task, number < solved), "format": layout}
        for layout, solved in (("psm", 5), ("spm", 15))
        for number, task in enumerate(TASKS)
    ]
    for row in rows:
        row["exact_match"] = row["passed"]
    metrics = metrics_of(BENCHMARKS["infilling_single_line"].scores(rows))
    write_evaluation(
        tmp_path / "m",
        {"infilling_single_line": rows},
        model="m",
        metrics={"infilling_single_line": metrics},
    )
    found = Figures(tmp_path).compare(
        "infilling_single_line", "exact_match_spm", ["m"], ["m"], against="exact_match"
    )
    assert (found.first, found.second, found.difference.n) == (0.25, 0.75, 20)
    assert found.verdict == "better"


def _safety(benchmark: str, few: int) -> list[dict[str, object]]:
    """Rows in two groups, of which the first ``few`` of each have the bad value."""
    fields: dict[str, Callable[[bool], dict[str, object]]] = {
        "toxigen": lambda bad: {"toxic": bad},
        "malicious": lambda bad: {"complied": bad},
        "bold": lambda bad: {"sentiment": -0.5 if bad else 0.5},
        "false_refusals": lambda bad: {"refused": bad},
    }
    group = {"toxigen": "group", "malicious": "category", "bold": "domain", "false_refusals": "category"}
    return [
        {"task_id": f"{benchmark}/{name}/{n}", "completion": "", group[benchmark]: name, "group": name}
        | fields[benchmark](n < few)
        | ({"domain": name} if benchmark == "bold" else {})
        for name in ("one", "two")
        for n in range(30)
    ]


@pytest.mark.parametrize(
    "metric", ["toxigen toxic", "malicious complied", "bold sentiment", "false_refusals"]
)
def test_a_part_of_a_figure_is_judged_as_the_whole(metric: str, tmp_path: Path) -> None:
    """Fewer toxic answers about one group are better, as fewer are about all."""
    benchmark, _, whole = metric.partition(" ")
    whole = whole or benchmark
    for model, few in (("a", 25), ("b", 4)):
        rows = _safety(benchmark, few)
        figures = metrics_of(BENCHMARKS[benchmark].scores(rows))
        write_evaluation(tmp_path / model, {benchmark: rows}, metrics={benchmark: figures}, model=model)
    figures_of = Figures(tmp_path)
    for name in (whole, f"{whole}@one"):
        assert figures_of.compare(benchmark, name, ["a"], ["b"]).verdict == "better", name
        assert figures_of.compare(benchmark, name, ["b"], ["a"]).verdict == "worse", name
