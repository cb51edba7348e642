"""A gain is one over the best that the base can do, in whichever layout that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from cascade_runs import lines, losses, model

from codecascade.evaluation.analysis.gains import ModelGains
from codecascade.reports.cascade.advice import Advice, advice
from codecascade.reports.cascade.headline import headlines
from codecascade.reports.cascade.report import table_columns
from codecascade.reports.cascade.run_report import ModelReport, RunReport


def advised(folder: Path, *models: ModelReport) -> Advice:
    report = RunReport("tiny", "small-base", models)
    found = advice(report, table_columns(models), ModelGains(folder / "evaluations"))
    assert found is not None
    return found


def test_the_base_is_taken_at_its_best(tmp_path: Path) -> None:
    """A base that fills in badly and continues well is compared by what it continues."""
    right = {"psm": range(10), "spm": range(12), "left_to_right": range(28)}
    base = model(tmp_path, "base", {"infilling_heldout": lines(right)})
    stage = model(
        tmp_path, "code", {"infilling_heldout": lines({"psm": range(28), "left_to_right": range(20)})}
    )
    found = advised(tmp_path, base, stage)
    assert found.answer == "Not shown" and "46.7 % (left to right): 0.0 points" in found.reason
    assert found.reason.startswith("The difference could be chance: ")
    assert "hardly show a gain" in found.more[-1]
    gains = ModelGains(tmp_path / "evaluations")
    lines_of = [each.line for each in headlines(table_columns([base, stage]), [base, stage], gains)]
    assert lines_of[0].startswith("Held-out gaps filled: 46.7 % (left to right) → 46.7 % (PSM)")
    assert lines_of[0].endswith("no difference found")
    assert lines_of[1].startswith("Held-out gaps filled, left to right: 46.7 %") and lines_of[1].endswith(
        "worse"
    )


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ({"psm": range(10)}, "Probably"),
        ({"psm": range(10), "spm": range(8)}, "Probably"),
        ({"psm": range(10), "left_to_right": range(12)}, "Yes"),
        ({"left_to_right": range(12)}, "Yes"),
    ],
)
def test_a_gain_over_filling_in_alone_is_no_yes(
    tmp_path: Path, asked: Mapping[str, Sequence[int]], answer: str
) -> None:
    """A code model may continue the prefix better than it fills in."""
    base = model(tmp_path, "base", {"infilling_heldout": lines(asked)})
    stage = model(tmp_path, "code", {"infilling_heldout": lines({"psm": range(40)})})
    found = advised(tmp_path, base, stage)
    assert (found.answer, found.tone) == (answer, "better")
    said = [sentence for sentence in found.more if "asked to fill in, not to continue" in sentence]
    assert len(said) == (answer == "Probably") and found.more[: len(said)] == tuple(said)


def test_where_nothing_was_gained_the_base_need_not_be_asked_more(tmp_path: Path) -> None:
    base = model(tmp_path, "base", {"infilling_heldout": lines({"psm": range(30)})})
    stage = model(tmp_path, "code", {"infilling_heldout": lines({"psm": range(12)})})
    found = advised(tmp_path, base, stage)
    assert found.answer == "No" and not any("to continue" in sentence for sentence in found.more)


def test_a_loss_of_whole_files_has_no_layouts(tmp_path: Path) -> None:
    base, stage = (
        model(tmp_path, name, {"validation": losses(scale)}) for name, scale in (("base", 1.0), ("code", 0.8))
    )
    assert advised(tmp_path, base, stage).answer == "Yes"
