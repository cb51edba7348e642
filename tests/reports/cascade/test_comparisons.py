"""The comparisons of a cascade's report, and the expected attention by distance."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from evaluations import sample, write_evaluation

from codecascade.evaluation.metrics import Metric
from codecascade.evaluation.running.result import BenchmarkResult
from codecascade.model.config import LlamaConfig
from codecascade.model.presets import PRESETS
from codecascade.model.rope import expected_attention
from codecascade.model.rope_scaling import RopeScaling
from codecascade.reports.cascade.comparison_plots import attention_by_distance, pictures
from codecascade.reports.cascade.comparisons import agreement, compared, in_lines
from codecascade.reports.cascade.report import COMPARISONS, write_report
from codecascade.reports.cascade.run_report import ModelReport, Question, QuestionFigure, RunReport

HOSTILE = "<script>x</script>"


def question(**more: object) -> Question:
    settings: dict[str, object] = {
        "name": "q",
        "text": HOSTILE,
        "groups": {"old": ("a",), "new": ("b",)},
        "figures": (QuestionFigure("humaneval", "pass@1", "pass@1", "better"),),
        **more,
    }
    return Question(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("solved", "here", "agrees"), [(18, "better", "yes"), (3, "no difference found", "open")]
)
def test_a_row_says_what_was_found_and_whether_it_agrees(
    tmp_path: Path, solved: int, here: str, agrees: str
) -> None:
    for model, right in (("a", 3), ("b", solved)):
        rows = [sample(f"HumanEval/{number}", number < right) for number in range(20)]
        write_evaluation(tmp_path / model, {"humaneval": rows}, model=model)
    models = [ModelReport("a", None, "base"), ModelReport("b", "a", "code", tokens=7, seconds=3.0)]
    (shown,) = compared([question()], models, tmp_path)
    (row,) = shown["rows"]
    assert (row["first"], row["here"], row["paper"], row["agrees"]) == ("15.0", here, "better", agrees)
    assert [cost["tokens"] for cost in shown["cost"]] == [0, 7]
    assert any(here in line for line in in_lines([shown]))


def test_the_figures_of_questions_that_are_no_longer_asked_are_removed(tmp_path: Path) -> None:
    report = RunReport("r", "tiny", (ModelReport("base", None, "base"),))
    write_report(replace(report, questions=(question(),)), tmp_path)
    assert (tmp_path / COMPARISONS).exists()
    write_report(report, tmp_path)
    assert not (tmp_path / COMPARISONS).exists()


def test_a_model_that_is_not_measured_yet_is_said(tmp_path: Path) -> None:
    (shown,) = compared([question()], [], tmp_path)
    assert shown["rows"] == [] and shown["missing"] == ["a is not measured yet"]


def test_advice_is_of_the_first_base_and_what_was_made_of_it() -> None:
    models = [
        ModelReport("base", None, "base"),
        ModelReport("other", None, "base"),
        ModelReport("a", "base", "code"),
        ModelReport("b", "other", "code"),
        ModelReport("c", "a", "python"),
    ]
    found = RunReport("run", "tiny", tuple(models)).of_first_base()
    assert [model.name for model in found.models] == ["base", "a", "c"]


def test_agreement_with_alike_needs_no_difference() -> None:
    assert agreement("alike", "") == "yes"
    assert agreement("alike", "worse") == "no"
    assert agreement("worse", "better") == "no"


def test_pictures_have_what_there_is_to_draw(tmp_path: Path) -> None:
    log = tmp_path / "b.jsonl"
    log.write_text("".join(f'{{"step": {n}, "tokens": {9 * n}, "loss": {3 - n / 9}}}\n' for n in range(1, 9)))
    curve = {f"perplexity@{end}": Metric(3.0, 2.0, 4.0, 5) for end in (1024, 2048)}
    found = {"perplexity": BenchmarkResult("perplexity", curve)}
    models = {
        "a": ModelReport("a", None, "base", results=found),
        "b": ModelReport("b", "a", "code", log=log, config=PRESETS["tiny"]),
    }
    asked = question(plots=("loss", "perplexity", "keys", "attention"))
    drawn = pictures(asked, models)
    assert [title for title, _ in drawn] == [
        "Training loss",
        "Perplexity by position",
        "Expected attention by distance",
    ]
    assert all(svg.startswith("<svg") for _, svg in drawn)


def test_expected_attention_is_the_mean_cosine() -> None:
    distances = torch.tensor([0.0, 1.0, 50.0])
    found = expected_attention(distances, 1e4, None, 8)
    by_hand = [sum(math.cos(n * 1e4 ** (-2 * i / 8)) for i in range(4)) / 4 for n in (0, 1, 50)]
    assert found.tolist() == pytest.approx(by_hand, abs=1e-5)
    linear = expected_attention(4 * distances, 1e4, RopeScaling("linear", 4.0), 8)
    assert linear.tolist() == pytest.approx(found.tolist(), abs=1e-5)


def test_a_larger_base_keeps_the_attention_to_far_keys() -> None:
    """What the paper's Fig. 9a shows: with theta 1e6 far positions are seen as near ones."""
    far = torch.arange(4096, 16_384, 64)
    old, new = (expected_attention(far, theta, None, 1024).mean() for theta in (1e4, 1e6))
    assert new > old + 0.1


def test_models_of_one_rope_share_a_line() -> None:
    tiny = PRESETS["tiny"]
    other = LlamaConfig(**{**vars(tiny), "rope_theta": 1e6})
    drawn = attention_by_distance({"a": tiny, "b": tiny, "c": other}, dict.fromkeys("abc", "#000000"))
    assert "θ = 10,000: a, b" in drawn and "θ = 1,000,000: c" in drawn
