"""Of several stages the best is named, and by which figure it is the best."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cascade_runs import losses, model, of_gaps
from hypothesis import given
from hypothesis import strategies as st

from codecascade.evaluation.analysis.gains import ModelGains
from codecascade.reports.cascade.choice import advised_stage, choose

CORRECTED = "; tests and intervals are corrected for the choice (Bonferroni)."


def chosen(folder: Path, stages: dict[str, tuple[int, float]]) -> tuple[str, str]:
    """The stage that is named, and why; of each stage how many lines it filled, and the nats of a gap."""
    for name, (right, nats) in {"base": (0, 9.0), **stages}.items():
        model(folder, name, {"infilling_heldout": of_gaps("psm", range(right), nats)})
    found = choose("base", [*stages], ModelGains(folder / "evaluations"))
    assert found is not None and found.said.endswith(CORRECTED)
    return found.stage, found.said.removesuffix(CORRECTED)


@pytest.mark.parametrize(
    ("stages", "stage", "why"),
    [
        (
            {"code": (0, 8.0), "python": (0, 7.0)},
            "python",
            "Of 2 stages that were measured so, code and python are alike by exactly filled lines, and of these "
            "python is the best by nats per byte of the true answer",
        ),
        (
            {"code": (5, 8.0), "python": (0, 7.0), "chat": (5, 7.5)},
            "chat",
            "Of 3 stages that were measured so, code and chat are the best by exactly filled lines, and of these "
            "chat is the best by nats per byte of the true answer",
        ),
        (
            {"code": (5, 8.0), "python": (4, 7.0)},
            "code",
            "Of 2 stages that were measured so, code is the best by exactly filled lines",
        ),
        (
            {"code": (5, 7.0), "python": (5, 7.0), "chat": (5, 8.0)},
            "code",
            "Of 3 stages that were measured so, code and python are the best by exactly filled lines and nats per "
            "byte of the true answer, of which code is the first",
        ),
    ],
)
def test_stages_that_fill_alike_are_told_apart_by_the_loss(
    tmp_path: Path, stages: dict[str, tuple[int, float]], stage: str, why: str
) -> None:
    assert chosen(tmp_path, stages) == (stage, why)


def test_where_the_loss_alone_was_measured_it_is_named_once(tmp_path: Path) -> None:
    for name, scale in {"base": 1.0, "code": 0.9, "python": 0.9}.items():
        model(tmp_path, name, {"validation": losses(scale)})
    found = choose("base", ["code", "python"], ModelGains(tmp_path / "evaluations"))
    assert found is not None and found.stage == "code"
    assert "code and python are alike by bits per byte, of which code is the first" in found.said


class Gains:
    """The gains of stages by their names: in filled lines, and what the loss fell, if it was measured."""

    def __init__(self, of: dict[str, tuple[int | None, int | None]]) -> None:
        self.of = of

    def between(self, base: str, stage: str, benchmark: str, metric: str, **options: Any) -> Any:
        figures = {"exact_match_line": self.of[stage][0], "answer_nats_per_byte": self.of[stage][1]}
        value = figures.get(metric)
        if value is None:
            return None
        sign = 1 if options["higher_is_better"] else -1
        return SimpleNamespace(compared=SimpleNamespace(difference=SimpleNamespace(value=sign * value)))


figures = st.none() | st.integers(-1, 1)


@given(st.lists(st.tuples(figures, figures), min_size=1, max_size=4))
def test_no_stage_is_better_than_the_one_that_is_named(of: list[tuple[int | None, int | None]]) -> None:
    gains: Any = Gains({f"s{number}": figure for number, figure in enumerate(of)})
    stage = advised_stage("base", [*gains.of], gains)
    measured = [each for each in of if each != (None, None)]
    if stage is None:
        assert not measured
        return
    leading = 0 if any(lines is not None for lines, _ in of) else 1
    order = [(each[leading], each[1]) for each in measured if each[leading] is not None]
    best = max((lead, -9 if then is None else then) for lead, then in order if lead is not None)
    lead, then = gains.of[stage][leading], gains.of[stage][1]
    assert (lead, -9 if then is None else then) == best
