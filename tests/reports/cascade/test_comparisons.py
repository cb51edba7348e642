"""The comparisons of a cascade's report, and the expected attention by distance."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from evaluations import sample, write_evaluation

from codecascade.evaluation.analysis.groups import GroupDifference
from codecascade.evaluation.metrics import Metric
from codecascade.evaluation.notation import digits_to_see, format_signed, format_value
from codecascade.evaluation.running.result import BenchmarkResult
from codecascade.model.config import LlamaConfig
from codecascade.model.presets import PRESETS
from codecascade.model.rope import expected_attention
from codecascade.model.rope_scaling import RopeScaling
from codecascade.reports import plots
from codecascade.reports.cascade.comparison_plots import attention_by_distance, loss_curve, pictures
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


def test_what_no_test_could_find_is_called_so(tmp_path: Path) -> None:
    """Five problems that all differ in one way have a p-value of 0.0625."""
    for model, right in (("a", 0), ("b", 5)):
        rows = [sample(f"HumanEval/{number}", number < right) for number in range(5)]
        write_evaluation(tmp_path / model, {"humaneval": rows}, model=model)
    (shown,) = compared([question()], [], tmp_path)
    assert shown["rows"][0]["here"] == "too few problems to tell"


def test_the_first_seed_answers_while_others_are_trained(tmp_path: Path) -> None:
    for model, right in (("a", 3), ("b", 18)):
        rows = [sample(f"HumanEval/{number}", number < right) for number in range(20)]
        write_evaluation(tmp_path / model, {"humaneval": rows}, model=model)
    groups = {"old": ("a", "a-1", "a-2"), "new": ("b", "b-1", "b-2")}
    (shown,) = compared([question(groups=groups)], [], tmp_path)
    assert [row["here"] for row in shown["rows"]] == ["better"] and shown["seeds"] == 1
    assert shown["missing"] == ["seeds that are not measured yet (a-1, a-2, b-1, b-2)"]


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


def difference(low: float, high: float, *, p: float = 0.5, seeds: Metric | None = None) -> GroupDifference:
    """Of a loss of 2.0."""
    value = (low + high) / 2
    return GroupDifference(2.0, 2.0 + value, Metric(value, low, high, 9), p, "", (value,), seeds, False)


@pytest.mark.parametrize(
    ("low", "high", "agrees"),
    [
        (-0.019, 0.019, "yes"),
        (0.001, 0.002, "yes"),
        (-0.001, 0.021, "open"),
        (-0.5, 0.5, "open"),
        (0.021, 0.022, "no"),
        (-0.9, -0.03, "no"),
    ],
)
def test_alike_is_shown_by_a_narrow_interval(low: float, high: float, agrees: str) -> None:
    """1 % of 2.0; a wide interval shows nothing, and a difference may be certain and small."""
    alike = QuestionFigure("validation", "loss", "loss", "alike")
    assert agreement(alike, difference(low, high)) == agrees
    assert agreement(replace(alike, within=0.5), difference(low, high)) == "yes"
    seeds = Metric((low + high) / 2, low, high, 3)
    assert agreement(alike, difference(low, high, seeds=seeds)) == agrees
    assert agreement(alike, difference(-9, 9, seeds=seeds)) == "open", "seeds may agree over a few problems"


def test_agreement_on_a_direction_needs_a_difference() -> None:
    worse, better = (QuestionFigure("validation", "loss", "loss", said) for said in ("worse", "better"))
    assert agreement(worse, difference(0.1, 0.3, p=0.01)) == "yes"
    assert agreement(better, difference(0.1, 0.3, p=0.01)) == "no"
    assert agreement(better, difference(-0.1, 0.3)) == "open"
    assert agreement(replace(better, expects=None), difference(0.1, 0.3, p=0.01)) == "–"


def test_a_difference_that_was_found_is_not_written_as_zero() -> None:
    assert digits_to_see(-0.0004, "loss") == 1
    assert format_signed(-0.0004, "loss", 1) == "−0.0004"
    assert digits_to_see(0.5, "loss") == 0 and digits_to_see(1e-30, "loss") == digits_to_see(0.0, "loss") == 9
    assert format_value(0.0004, "pass@1", digits_to_see(0.0004, "pass@1")) == "0.04"


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


def test_a_single_document_does_not_show_that_two_groups_are_alike() -> None:
    alike = QuestionFigure("validation", "loss", "loss", "alike")
    one = replace(difference(0, 0), difference=Metric(0.0, 0.0, 0.0, 1))
    assert agreement(alike, one) == "open"
    assert agreement(alike, replace(one, difference=Metric(0.0, 0.0, 0.0, 40))) == "yes"


@pytest.mark.parametrize(
    ("row", "kept"),
    [
        ({"step": 1, "tokens": "a", "loss": "b"}, 0),
        ({"step": 1, "tokens": 5, "loss": None}, 0),
        ({"step": 1, "tokens": 5, "loss": float("nan")}, 0),
        ({"step": 1, "tokens": 10**400, "loss": 1.0}, 0),
        ({"step": 1, "tokens": True, "loss": [1]}, 0),
        ({"step": 1, "loss": 2.0}, 0),
        ({"step": 1, "tokens": 5, "loss": 2}, 1),
    ],
)
def test_rows_of_a_log_that_are_no_numbers_are_not_drawn(
    tmp_path: Path, row: dict[str, object], kept: int
) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text(json.dumps(row) + "\n")
    curve = loss_curve(ModelReport("code", "base", "code", log=log))
    assert (0 if curve is None else len(curve.losses)) == kept
    log.write_text(json.dumps(row) + "\n" + '{"step": 2, "tokens": 9, "loss": 1.5}\n')
    curve = loss_curve(ModelReport("code", "base", "code", log=log))
    assert curve is not None and len(curve.losses) == kept + 1
    assert "<svg" in plots.loss_curves([curve], {"code": plots.hue(0)})
