"""What a report advises can be given as it stands."""

from __future__ import annotations

import shlex
from itertools import pairwise
from pathlib import Path

from cascade_runs import lines, losses, model

from codecascade.evaluation.analysis.gains import ModelGains
from codecascade.recipe import read_recipe
from codecascade.recipe.settings import Recipe
from codecascade.reports.cascade.advice import Advice, advice
from codecascade.reports.cascade.report import table_columns
from codecascade.reports.cascade.run_report import RunReport


def advised(folder: Path, layout: str) -> Advice:
    base = model(folder, "base", {"validation": losses(1), "infilling_heldout": lines({layout: range(15)})})
    stage = model(folder, "code", {"infilling_heldout": lines({"spm": range(50)})})
    report = RunReport("tiny", "small-base", (base, stage), code="your code")
    found = advice(report, table_columns(report.models), ModelGains(folder / "evaluations"))
    assert found is not None
    return found


def recipe_with(hint: str) -> Recipe:
    """The recipe of one's own code with the options in a sentence."""
    words = shlex.split(hint.partition("--set")[2].replace("', ", "' , "))
    changes = [after for before, after in pairwise(["--set", *words]) if before == "--set"]
    return read_recipe("your-code", changes)


def test_another_benchmark(tmp_path: Path) -> None:
    (hint,) = advised(tmp_path, "left_to_right").elsewhere
    evaluate = recipe_with(hint).evaluate
    assert evaluate.benchmarks == ("validation", "infilling_heldout", "humaneval")
    assert evaluate.chat == "never"


def test_the_base_left_to_right(tmp_path: Path) -> None:
    found = advised(tmp_path, "psm")
    assert found.answer == "Probably"
    hint = found.more[0]
    assert recipe_with(hint).evaluate.infilling_heldout.layouts == ("left_to_right",)
