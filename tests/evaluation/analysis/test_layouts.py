"""Evaluations whose problems were asked in other layouts: what is compared, and by which rule."""

from __future__ import annotations

from pathlib import Path

import pytest
from evaluations import sample, write_evaluation

from codecascade.cli import main
from codecascade.evaluation.analysis.compare import compare
from codecascade.evaluation.analysis.gains import ModelGains
from codecascade.evaluation.benchmarks.table import BENCHMARKS
from codecascade.evaluation.notation import layout_name
from codecascade.evaluation.scores import metrics_of
from codecascade.ground.errors import UserError


def test_layouts_that_both_were_asked_in_are_compared(tmp_path: Path) -> None:
    """A base without infilling tokens and a stage that was asked left to right as well."""

    def evaluation(name: str, **right: range) -> Path:
        rows = [
            sample(f"L{n}", n in numbers, format=layout, exact_match=n in numbers, ended=True)
            for layout, numbers in right.items()
            for n in range(30)
        ]
        figures = metrics_of(BENCHMARKS["infilling_single_line"].scores(rows))
        settings = {"infilling.layouts": list(right), "infilling.first_line": True}
        return write_evaluation(
            tmp_path / name,
            {"infilling_single_line": rows},
            metrics={"infilling_single_line": figures},
            about={"infilling_single_line": {"settings": settings, "metric": "exact_match"}},
        )

    base = evaluation("a", left_to_right=range(20))
    stage = evaluation("b", spm=range(25), left_to_right=range(8))
    (found,) = compare(base, stage).benchmarks
    assert found.problems == 30 and [each.name for each in found.lost] == [
        f"L{n} left_to_right" for n in range(8, 20)
    ]
    assert {(each.metric, each.against): each.verdict for each in found.differences} == {
        ("exact_match_left_to_right", ""): "worse",
        ("pass@1_left_to_right", ""): "worse",
        # By one rule, so that filling in is compared with what the base writes.
        ("exact_match", "left_to_right"): "",
        ("pass@1", "left_to_right"): "",
    }
    assert [each.second for each in found.lost] == list(range(38, 50)), "its place among all samples"


def test_filling_in_is_compared_with_continuing_where_one_rule_judges_both(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def evaluation(name: str, layout: str, right: range, *, first_line: bool = True) -> Path:
        rows = [
            sample(f"L{n}", n in right, format=layout, exact_match=n in right, ended=True) for n in range(30)
        ]
        figures = metrics_of(BENCHMARKS["infilling_single_line"].scores(rows))
        about = {"settings": {"infilling.first_line": first_line}, "metric": "exact_match"}
        return write_evaluation(
            tmp_path / name,
            {"infilling_single_line": rows},
            metrics={"infilling_single_line": figures},
            about={"infilling_single_line": about},
        )

    base, stage = evaluation("a", "left_to_right", range(8)), evaluation("b", "spm", range(2, 25))
    (found,) = compare(base, stage).benchmarks
    assert found.problems == 30 and {each.verdict for each in found.differences} == {"better"}
    assert [each.metric for each in found.differences] == ["exact_match", "pass@1"]
    assert [each.name for each in found.lost] == ["L0 spm", "L1 spm"]
    assert [each.first for each in found.gained] == list(range(8, 25))
    with pytest.raises(SystemExit) as end:
        main(["compare", str(base), str(stage)])
    assert not end.value.code
    assert "exact match, against" in capsys.readouterr().out
    other = evaluation("c", "spm", range(2, 25), first_line=False)
    with pytest.raises(UserError, match="measured by other settings"):
        compare(base, other)


@pytest.mark.parametrize(
    ("layout", "name"),
    [("psm", "PSM"), ("left_to_right", "left to right"), ("left_to_right_imported", "left to right")],
)
def test_layouts_are_named_for_a_reader(layout: str, name: str) -> None:
    assert layout_name(layout) == name


def test_a_loss_is_compared_with_left_to_right_without_what_ends_the_middle(tmp_path: Path) -> None:
    """Left to right a middle has no end to predict, so that filling in would look worse than it is."""

    def evaluation(name: str, layout: str, right: range, **ends: float) -> None:
        rows = [
            sample(
                f"L{n}",
                n in right,
                format=layout,
                kind="line",
                exact_match=n in right,
                edit_similarity=1.0,
                reference_nats=9.0 + n + sum(ends.values()),
                bytes=30,
                **ends,
            )
            for n in range(30)
        ]
        figures = metrics_of(BENCHMARKS["infilling_heldout"].scores(rows))
        write_evaluation(tmp_path / name, {"infilling_heldout": rows}, metrics={"infilling_heldout": figures})

    evaluation("base", "left_to_right", range(8))
    evaluation("code", "spm", range(2, 25), end_nats=4.0)
    evaluation("unknown", "spm", range(2, 25))
    gains = ModelGains(tmp_path)
    lines = gains.between("base", "code", "infilling_heldout", "exact_match_line")
    assert lines is not None and (lines.before_layout, lines.verdict) == ("left_to_right", "better")
    nats = "middle_nats_per_byte"
    loss = gains.between("base", "code", "infilling_heldout", nats, higher_is_better=False)
    assert loss is not None and loss.compared.difference.value == 0 and loss.before_layout == "left_to_right"
    # Where the end is not known apart, the loss is of something else.
    assert gains.between("base", "unknown", "infilling_heldout", nats, higher_is_better=False) is None
