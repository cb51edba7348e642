"""A model that fills in nothing exactly is not called one that should probably be used."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from cascade_runs import model, of_gaps

from codecascade.evaluation.analysis.gains import ModelGains
from codecascade.reports.cascade.advice import Advice, advice
from codecascade.reports.cascade.report import table_columns
from codecascade.reports.cascade.run_report import RunReport


def advised(folder: Path, right: Sequence[int], kinds: tuple[str, str]) -> Advice:
    """A stage that fills some gaps, of a base that fills none; the first half is of the first kind."""
    models = []
    for name, filled, nats in (("base", (), 9.0), ("code", right, 7.0)):
        rows = of_gaps("psm", filled, nats) + of_gaps("left_to_right", (), nats)
        rows = [{**row, "kind": kinds[number % 60 >= 30]} for number, row in enumerate(rows)]
        models.append(model(folder, name, {"infilling_heldout": rows}))
    report = RunReport("tiny", "small-base", tuple(models), code="your code")
    found = advice(report, table_columns(models), ModelGains(folder / "evaluations"))
    assert found is not None
    return found


@pytest.mark.parametrize("kinds", [("line", "line"), ("line", "rest"), ("rest", "rest")])
def test_nothing_filled_is_not_shown(tmp_path: Path, kinds: tuple[str, str]) -> None:
    found = advised(tmp_path, (), kinds)
    number, unit = {("line", "line"): (60, "lines"), ("line", "rest"): (30, "lines")}.get(kinds, (60, "gaps"))
    assert (found.answer, found.tone, found.mark) == ("Not shown", "", ".")
    assert found.reason.startswith(
        f"It fills in nothing exactly: on {number} {unit} of your code that it never saw it fills in 0.0 % exactly"
    )
    assert found.more[0].startswith(
        "What really stands in 60 gaps of your code that it never saw surprises it 20 % less than the base, "
        "small-base. It needs 0.400 nats per byte of the true answer, the base 0.500"
    )
    assert not any("more sensitive figure" in sentence for sentence in found.more), "it is told once"


@pytest.mark.parametrize("right", [(3,), (40,)])
def test_what_is_filled_once_may_be_of_use(tmp_path: Path, right: Sequence[int]) -> None:
    """Also where the one is no line."""
    assert advised(tmp_path, right, ("line", "rest")).answer == "Probably"
