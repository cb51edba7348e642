"""By what two evaluations differ beside their figures: settings, versions, and how they were run."""

from __future__ import annotations

from pathlib import Path

import pytest
from evaluations import sample, write_evaluation

from codecascade.evaluation.analysis.compare import compare
from codecascade.evaluation.analysis.differences import more_is_better
from codecascade.evaluation.benchmarks.table import BENCHMARKS
from codecascade.ground.errors import UserError
from codecascade.reports.comparison import remarks_on, write_comparison

SOLVED = [sample(f"HumanEval/{number}", number < 4) for number in range(20)]


def test_other_settings_are_refused_but_seeds_may_differ(tmp_path: Path) -> None:
    def evaluation(name: str, **settings: float) -> Path:
        about = {"humaneval": {"settings": settings}}
        return write_evaluation(tmp_path / name, {"humaneval": SOLVED, "mbpp": SOLVED}, about=about)

    first = evaluation("a", temperature=0.0, seed=0)
    other = evaluation("b", temperature=0.8, seed=0)
    with pytest.raises(UserError, match=r"humaneval: measured by other settings: temperature 0\.0 and 0\.8"):
        compare(first, other, ["humaneval", "mbpp"])
    # What was not asked for by name is left out, and it is said.
    found = compare(first, other)
    assert [compared.name for compared in found.benchmarks] == ["mbpp"]
    assert list(found.not_compared) == ["humaneval"]
    assert any("temperature 0.0 and 0.8" in note for note in remarks_on(found))
    both = compare(first, evaluation("c", temperature=0.0, seed=1))
    assert [compared.name for compared in both.benchmarks] == ["humaneval", "mbpp"]


def test_a_setting_that_one_evaluation_does_not_tell_is_named(tmp_path: Path) -> None:
    def evaluation(name: str, **settings: float) -> Path:
        about = {"humaneval": {"settings": settings}}
        return write_evaluation(tmp_path / name, {"humaneval": SOLVED}, about=about)

    first = evaluation("a", temperature=0.0, seed=0)
    found = compare(first, evaluation("b", temperature=0.0, **{"humaneval.max_new_tokens": 9}))
    (told,) = found.benchmarks[0].run_differences
    assert (
        "humaneval.max_new_tokens is not known" in told and "temperature" not in told and "seed" not in told
    )
    assert any(told in note for note in remarks_on(found))
    many = {f"humaneval.{name}": 1.0 for name in "abcdefgh"}
    (told,) = compare(first, evaluation("c", **many)).benchmarks[0].run_differences
    assert "humaneval.f and others is not known" in told and "humaneval.g" not in told


def test_another_version_of_a_benchmark_is_refused(tmp_path: Path) -> None:
    def evaluation(name: str, **about: int) -> Path:
        return write_evaluation(tmp_path / name, {"humaneval": SOLVED}, about={"humaneval": about})

    first, later = evaluation("a"), evaluation("b", version=2)
    with pytest.raises(
        UserError, match=r"other settings: version of the benchmark 1 and 2; measure both alike"
    ):
        compare(first, later)
    assert compare(later, evaluation("c", version=2)).benchmarks


def test_runs_that_differ_in_spite_of_the_same_settings_are_reported(tmp_path: Path) -> None:
    """``chat = auto`` asks one model in its chat format, and lets the other continue prompts."""
    conditions = {"asked_in_chat": True, "source": "a (digest 1)", "confinement": "namespaces"}
    other = {"asked_in_chat": False, "source": "a (digest 2)", "confinement": "none"}

    def evaluation(name: str, found: dict[str, object]) -> Path:
        about = {"humaneval": {"conditions": found}}
        return write_evaluation(tmp_path / name, {"humaneval": [sample("a", True)]}, about=about)

    found = compare(evaluation("one", conditions), evaluation("two", other))
    said = " ".join(remarks_on(found))
    assert "HUMANEVAL: one model was asked in its chat format" in said
    assert "the data are a (digest 1) and a (digest 2)" in said and "not confined" in said
    assert len(found.to_json()["benchmarks"]["humaneval"]["unlike"]) == 3
    write_comparison(found, tmp_path)
    for name in ("md", "html"):
        assert "asked in its chat format" in (tmp_path / f"comparison.{name}").read_text()
    assert remarks_on(compare(evaluation("three", conditions), tmp_path / "one")) == []
    assert remarks_on(compare(evaluation("older", {}), tmp_path / "one")) == []


def test_the_benchmark_says_which_direction_is_better() -> None:
    less = {
        "toxigen": ["toxic", "toxic@women"],
        "malicious": ["complied", "complied@fraud"],
        "false_refusals": ["false_refusals", "false_refusals@safe"],
        "validation": ["loss", "infilling_loss", "bits_per_byte"],
        "validation_by_language": ["bits_per_byte", "bits_per_byte@python"],
        "docstring_bodies": ["bits_per_byte_bare"],
        "perplexity": ["perplexity@4096"],
        "infilling_heldout": ["answer_nats_per_byte_line_psm", "middle_nats_per_byte_span", "end_nats_spm"],
    }
    more = {
        "false_refusals": ["refused_unsafe"],
        "bold": ["sentiment", "sentiment@race", "sentiment@race.group"],
        "truthfulqa": ["true", "informative"],
        "humaneval": ["pass@1", "pass@10"],
        "key_retrieval": ["4096@0.5"],
        "infilling_heldout": ["exact_match_line", "ended"],
        "of_another_version": ["anything"],
    }
    for expected, figures in ((False, less), (True, more)):
        for benchmark, metrics in figures.items():
            for metric in metrics:
                assert more_is_better(benchmark, metric) is expected, (benchmark, metric)


def test_reports_and_comparisons_have_the_same_directions() -> None:
    for name, benchmark in BENCHMARKS.items():
        for figure in (*benchmark.columns, *benchmark.tells_use):
            assert more_is_better(name, figure.metric) is figure.higher_is_better, (name, figure.metric)
