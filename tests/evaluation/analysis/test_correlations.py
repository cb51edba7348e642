from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from codecascade.evaluation.analysis.correlations import correlate, correlations
from codecascade.evaluation.analysis.sweep import folder_of, read_sweep
from codecascade.ground.errors import UserError
from codecascade.reports import plots


def evaluation(folder: Path, model: str, passed: dict[str, dict[int, list[bool | None]]]) -> Path:
    """An evaluation's folder with samples of problems, by benchmark and number."""
    (folder / "samples").mkdir(parents=True)
    metrics = {}
    for benchmark, problems in passed.items():
        id_of = "HumanEval/{}" if benchmark == "humaneval" else "HumanEval_{}_name"
        rows = [
            {"task_id": id_of.format(number), "completion": "", "passed": sample}
            for number, samples in problems.items()
            for sample in samples
        ]
        (folder / f"samples/{benchmark}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        share = sum(map(bool, [row["passed"] for row in rows])) / len(rows)
        metrics[benchmark] = {"pass@1": {"value": share, "low": 0.0, "high": 1.0, "n": len(problems)}}
    (folder / "results.json").write_text(json.dumps({"models": {model: metrics}}))
    return folder


def test_the_coefficient_is_pearsons() -> None:
    one = {number: float(value) for number, value in enumerate([1, 1, 0, 0, 1, 0])}
    other = {number: float(value) for number, value in enumerate([1, 0, 0, 0, 1, 0, 1])}
    found = correlate("m", {"C++": one, "PHP": other}).pairs["C++", "PHP"]
    # six problems in common: 2 both, 1 the first only, 0 the second only, 3 neither
    assert found.n == 6 and found.value == pytest.approx((2 * 3 - 1 * 0) / math.sqrt(3 * 3 * 2 * 4))
    assert found.low < found.value < found.high <= 1.0 + 1e-12


def test_a_language_that_never_passes_is_correlated_with_nothing() -> None:
    never, some, all_of_them = {1: 0.0, 2: 0.0}, {1: 1.0, 2: 0.0}, {1: 0.5, 2: 0.1}
    found = correlate("m", {"C++": never, "PHP": some, "Java": all_of_them, "Bash": {7: 1.0}})
    assert set(found.pairs) == {("PHP", "Java")} and found.pairs["PHP", "Java"].value == pytest.approx(1.0)


def test_from_folders_of_one_and_of_several_models(tmp_path: Path) -> None:
    one = evaluation(
        tmp_path / "one",
        "small",
        {
            "humaneval": {0: [True, False], 1: [False, False], 2: [True, True]},
            "multipl_e_cpp": {0: [True], 1: [False], 2: [True], 3: [True]},
            # One was not run.
            "multipl_e_sh": {0: [None], 1: [True], 2: [False]},
            "gsm8k": {0: [True]},
        },
    )
    (alone,) = correlations([one])
    assert alone.name == "small" and alone.languages == ("Python", "C++", "Bash")
    assert alone.pairs["Python", "C++"].n == 3
    # (0.5, 1), (0, 0), (1, 1)
    assert alone.pairs["Python", "C++"].value == pytest.approx(0.5 / math.sqrt(0.5 * 2 / 3))
    assert alone.pairs["C++", "Bash"].n == 2 and alone.pairs["C++", "Bash"].value == pytest.approx(-1.0)

    two = evaluation(
        tmp_path / "two",
        "large",
        {"humaneval": {0: [True], 1: [True], 2: [True]}, "multipl_e_cpp": {0: [True], 1: [False], 2: [True]}},
    )
    small, large, together = correlations([one, two])
    # Every Python problem is solved.
    assert not large.pairs
    assert together.languages == ("Python", "C++") and small.pairs == alone.pairs
    # means: (0.75, 1), (0.5, 0), (1, 1)
    assert together.pairs["Python", "C++"].value == pytest.approx(0.25 / math.sqrt(0.125 * 2 / 3))
    picture = plots.correlation_matrices([small, large, together])
    assert picture.count("C++") >= 3 and "all together" in picture and "nan" not in picture
    assert json.loads(json.dumps(small.to_json()))["pairs"][0]["first"] == "Python"


def test_one_language_is_not_enough(tmp_path: Path) -> None:
    folder = evaluation(tmp_path / "one", "m", {"humaneval": {0: [True]}, "multipl_e_cpp": {0: [None]}})
    with pytest.raises(UserError, match="run in Python; correlations need two of"):
        correlations([folder])


def test_a_sweep_is_read_from_the_evaluations_below(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no sweep"):
        read_sweep(tmp_path)
    for temperature, passed in ((0.8, [True, False]), (0.1, [True, True])):
        folder = folder_of(tmp_path, temperature)
        evaluation(folder, "m", {"humaneval": {0: passed}, "gsm8k": {0: [True]}})
    sweep = read_sweep(tmp_path)
    assert list(sweep.figures["humaneval"]["pass@1"]) == [0.1, 0.8]
    assert sweep.best("humaneval", "pass@1") == {0.1}
    assert sweep.figures["humaneval"]["pass@1"][0.8].value == 0.5
    assert "temperature" in plots.temperature_sweep(sweep)
    evaluation(folder_of(tmp_path, 0.4), "other", {"humaneval": {0: [True]}})
    with pytest.raises(UserError, match="several models"):
        read_sweep(tmp_path)
