"""The report answers whether to use the model, against the best that the base can do, whatever the answer is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from cascade_runs import LINES, lines, losses, model, of_gaps, solved
from evaluations import Page

from codecascade.evaluation.analysis.gains import ModelGains
from codecascade.reports.cascade.advice import Advice, advice
from codecascade.reports.cascade.examples import KINDS, proportional
from codecascade.reports.cascade.headline import headlines
from codecascade.reports.cascade.report import table_columns, write_report
from codecascade.reports.cascade.run_report import ModelReport, RunReport


def advised(folder: Path, *models: ModelReport, code: str = "your code") -> Advice:
    report = RunReport("tiny", "small-base", models, code=code)
    found = advice(report, table_columns(models), ModelGains(folder / "evaluations"))
    assert found is not None
    return found


def test_yes_with_the_paired_difference(tmp_path: Path) -> None:
    base = model(tmp_path, "base", {"infilling_heldout": lines({"left_to_right": range(15)})})
    stage = model(tmp_path, "code", {"infilling_heldout": lines({"spm": range(1, 30)})})
    found = advised(tmp_path, base, stage)
    assert (found.answer, found.tone, found.stage, found.folder) == ("Yes", "better", "code", "models/code")
    assert found.reason == (
        "on 60 gaps of your code that it never saw it fills in 48.3 % exactly, the base, small-base, 25.0 % "
        "(left to right): +23.3 points (+10.9 to +34.6), p < 0.001."
    )
    assert found.elsewhere == (
        "Not measured. Whether it forgot anything is seen on a benchmark of other code. The run's command with --set "
        """'evaluate.benchmarks=["infilling_heldout", "humaneval"]' """
        "--set evaluate.humaneval.max_new_tokens=256 --set evaluate.chat=never measures one; nothing is trained "
        "again.",
    )


def test_no_where_it_got_worse_and_what_it_forgot(tmp_path: Path) -> None:
    base = model(
        tmp_path,
        "base",
        {"infilling_heldout": lines({"psm": range(30)}), "humaneval": solved(range(20))},
    )
    stage = model(
        tmp_path,
        "code",
        {"infilling_heldout": lines({"psm": range(15)}), "humaneval": solved(range(8))},
    )
    found = advised(tmp_path, base, stage)
    assert (found.answer, found.tone) == ("No", "worse")
    assert found.reason.startswith("It got worse: on 60 gaps of your code") and "−25.0 points" in found.reason
    (elsewhere,) = found.elsewhere
    assert (
        elsewhere.startswith("HumanEval") and "50.0 % → 20.0 %" in elsewhere and elsewhere.endswith("worse.")
    )


def test_by_other_rules_layouts_are_not_compared(tmp_path: Path) -> None:
    base = model(tmp_path, "base", {"infilling_heldout": lines({"left_to_right": range(15)})})
    stage = model(
        tmp_path,
        "code",
        {"infilling_heldout": lines({"spm": range(50)})},
        settings={"infilling.first_line": False},
    )
    gains = ModelGains(tmp_path / "evaluations")
    assert gains.between("base", "code", "infilling_heldout", "exact_match") is None
    assert headlines(table_columns([base, stage]), [base, stage], gains) == []


@pytest.mark.parametrize(
    ("scale", "answer", "second"),
    [(1.0, "Not shown", "no difference found"), (1.1, "No", "worse")],
)
def test_where_lines_show_nothing_the_loss_is_told(
    tmp_path: Path, scale: float, answer: str, second: str
) -> None:
    base = model(
        tmp_path, "base", {"infilling_heldout": lines({"psm": range(15)}), "validation": losses(1.0)}
    )
    stage = model(
        tmp_path, "code", {"infilling_heldout": lines({"psm": range(2, 19)}), "validation": losses(scale)}
    )
    found = advised(tmp_path, base, stage)
    assert found.answer == answer and found.reason.startswith("The difference could be chance")
    assert found.more[0].startswith("By the more sensitive figure, bits per byte over 30 held-out documents")
    assert found.more[0].endswith(f": {second}.")
    if answer == "Not shown":
        assert "If the true difference is the one seen here, about " in found.more[-1]


def test_where_the_true_text_surprises_less_a_gain_is_probable(tmp_path: Path) -> None:
    base = model(tmp_path, "base", {"infilling_heldout": of_gaps("left_to_right", range(15), 9.0)})
    stage = model(tmp_path, "code", {"infilling_heldout": of_gaps("spm", range(2, 19), 7.0)})
    found = advised(tmp_path, base, stage)
    assert (found.answer, found.tone, found.mark) == ("Probably", "better", ":")
    assert found.reason == (
        "what really stands in 60 gaps of your code that it never saw surprises it 20 % less than the base, "
        "small-base. It needs 0.400 nats per byte of the true answer, the base 0.500 (left to right): "
        "−0.100 (−0.100 to −0.100), p < 0.001."
    )
    assert found.more[0].startswith("Whether it fills in more exactly is not shown: on 60 lines of your code")
    assert "If the true difference is the one seen here, about " in found.more[-1]
    (first, second) = headlines(
        table_columns([base, stage]), [base, stage], ModelGains(tmp_path / "evaluations")
    )
    assert first.line == (
        "Held-out gaps, nats per byte of the true answer: 0.500 (left to right) → 0.400 (SPM), "
        "−0.100 (−0.100 to −0.100): better. What really stands in a gap surprises it 20 % less than the base"
    )
    assert second.title == "Held-out gaps filled" and second.meaning == ""
    write_report(RunReport("tiny", "small-base", (base, stage)), tmp_path)
    for name in ("report.md", "report.html"):
        assert "surprises it 20 % less" in (tmp_path / name).read_text()


def test_a_gain_in_other_gaps_than_lines_is_told_as_one(tmp_path: Path) -> None:
    def gaps(layout: str, right: Sequence[int], nats: float) -> list[dict[str, object]]:
        rows = of_gaps(layout, right, nats)
        return [{**row, "kind": "line" if number < 30 else "rest"} for number, row in enumerate(rows)]

    base = model(tmp_path, "base", {"infilling_heldout": gaps("left_to_right", range(10), 9.0)})
    right = [*range(10), *range(30, 50)]
    stage = model(tmp_path, "code", {"infilling_heldout": gaps("spm", right, 7.0)})
    found = advised(tmp_path, base, stage)
    assert found.answer == "Probably" and "it fills in 33.3 % exactly" in found.more[0]
    assert found.more[1].startswith("Over all 60 gaps: 16.7 % → 50.0 %") and found.more[1].endswith("better.")
    assert found.more[-1] == "More lines would hardly show a gain in them: it is in the other gaps."


def test_a_dozen_gaps_say_nothing_about_more_of_them(tmp_path: Path) -> None:
    def few(right: Sequence[int], nats: float) -> list[dict[str, object]]:
        return of_gaps("spm", right, nats)[:12]

    base = model(tmp_path, "base", {"infilling_heldout": few(range(4), 9.0)})
    stage = model(tmp_path, "code", {"infilling_heldout": few(range(1, 5), 9.0)})
    found = advised(tmp_path, base, stage)
    assert found.answer == "Not shown"
    assert found.more[-1].startswith("So few lines hardly show anything")


def test_no_gain_is_probable_where_fewer_lines_are_right(tmp_path: Path) -> None:
    base = model(tmp_path, "base", {"infilling_heldout": of_gaps("left_to_right", range(15), 9.0)})
    stage = model(tmp_path, "code", {"infilling_heldout": of_gaps("spm", range(1, 13), 7.0)})
    assert advised(tmp_path, base, stage).answer == "Not shown"


def test_without_lines_the_loss_answers(tmp_path: Path) -> None:
    base, stage = (
        model(tmp_path, name, {"validation": losses(scale)}) for name, scale in (("base", 1.0), ("code", 0.8))
    )
    found = advised(tmp_path, base, stage, code="the corpus")
    assert found.answer == "Yes" and found.examples is None
    assert found.reason.startswith(
        "what really stands in 30 documents of the corpus that it never saw surprises it 20 % less than the base, "
        "small-base. It needs "
    )


def test_the_stage_with_the_best_figure_is_named(tmp_path: Path) -> None:
    models = [
        model(tmp_path, name, {"infilling_heldout": lines({"psm": range(right)})})
        for name, right in (("base", 10), ("code", 40), ("python", 30))
    ]
    found = advised(tmp_path, *models)
    assert found.stage == "code"
    assert found.more[-1].startswith(
        "Of 2 stages that were measured so, code is the best by exactly filled gaps;"
    )


def test_the_test_of_the_best_stage_is_corrected_for_the_choice(tmp_path: Path) -> None:
    """The same stage, alone and as the best of several: what it gained is the same, and found less easily."""
    names = {"base": range(10), "code": range(1, 17), "python": range(9), "instruct": range(9)}
    models = [
        model(
            tmp_path,
            name,
            {"infilling_heldout": lines({"psm": right})}
            | ({"validation": losses(1.0)} if name == "base" else {}),
        )
        for name, right in names.items()
    ]
    gains = ModelGains(tmp_path / "evaluations")
    alone, best = (
        gains.between("base", "code", "infilling_heldout", "exact_match", chosen_of=number)
        for number in (1, 3)
    )
    assert alone is not None and best is not None
    assert alone.compared.difference.value == best.compared.difference.value
    assert best.compared.p_value == pytest.approx(3 * alone.compared.p_value)
    assert best.compared.difference.low < alone.compared.difference.low
    # the quantiles of 1 - 0.05 / 6 and of 0.8, against those of 0.975 and 0.8
    needed = ((2.394 + 0.842) / (1.960 + 0.842)) ** 2
    assert best.problems_needed() == pytest.approx(needed * alone.problems_needed(), rel=0.1)
    assert f"p = {best.compared.p_value:.2f}" in advised(tmp_path, *models).reason
    # one that has no lines is none to choose from
    other = model(tmp_path, "long", {"validation": losses(1.0)})
    assert f"p = {best.compared.p_value:.2f}" in advised(tmp_path, *models, other).reason
    assert f"p = {alone.compared.p_value:.2f}" in advised(tmp_path, *models[:2]).reason


def test_what_it_costs_elsewhere_is_told_by_another_stage_that_was_asked(tmp_path: Path) -> None:
    asked = {"base": solved(range(20)), "code": None, "instruct": solved(range(8))}
    models = [
        model(
            tmp_path,
            name,
            {"infilling_heldout": lines({"psm": range(40 if name == "code" else 10)})}
            | ({} if rows is None else {"humaneval": rows}),
        )
        for name, rows in asked.items()
    ]
    found = advised(tmp_path, *models)
    assert found.stage == "code"
    (elsewhere,) = found.elsewhere
    assert elsewhere.endswith("worse (of instruct; code was not asked it).") and "20.0 %" in elsewhere


def test_no_answer_without_a_measurement_on_held_out_code(tmp_path: Path) -> None:
    models = [model(tmp_path, name, {"humaneval": solved(range(9))}) for name in ("base", "code")]
    report = RunReport("tiny", "b", tuple(models))
    assert advice(report, table_columns(models), ModelGains(tmp_path / "evaluations")) is None
    write_report(report, tmp_path)
    assert "Should I use it" not in (tmp_path / "report.md").read_text()


def test_examples_are_in_the_true_proportion_and_not_the_best_ones(tmp_path: Path) -> None:
    base = model(tmp_path, "base", {"infilling_heldout": lines({"left_to_right": range(20)})})
    stage = model(tmp_path, "code", {"infilling_heldout": lines({"spm": range(10, 40)})})
    examples = advised(tmp_path, base, stage).examples
    assert examples is not None
    assert dict(examples.counts) == dict(zip(KINDS, (20, 10, 10, 20), strict=True))
    assert [each.kind for each in examples.gaps] == [
        "gained", "gained", "lost", "right in both", "wrong in both", "wrong in both",
    ]  # fmt: skip
    for each in examples.gaps:
        number = int(each.task_id.removeprefix("gap/"))
        assert each.expected == f"    x = {number}\n" and each.before == f"def f{number}():\n"
        assert [(name, right) for name, _, right in each.answers] == [
            ("base", number < 20),
            ("code", 10 <= number < 40),
        ]
    # The same choice for the same problems, whatever the models wrote.
    assert examples == advised(tmp_path, base, stage).examples
    assert (
        f"Of these {LINES} gaps (20 gained, 10 lost, 10 right in both, 20 wrong in both) 6 are shown"
        in examples.rule
    )


@pytest.mark.parametrize(
    ("counts", "seats"),
    [([0, 0, 3, 1], [0, 0, 3, 1]), ([60, 25, 100, 315], [1, 0, 1, 4]), ([1, 1, 1, 97], [0, 0, 0, 6])],
)
def test_seats_by_the_largest_remainder(counts: list[int], seats: list[int]) -> None:
    assert proportional(counts, 6) == seats


@pytest.mark.parametrize(
    ("right", "said"), [(range(5, 50), "better"), (range(3), "worse"), (range(1, 16), "no difference found")]
)
def test_the_page_begins_with_the_answer_whatever_it_is(tmp_path: Path, right: range, said: str) -> None:
    base = model(tmp_path, "base", {"infilling_heldout": lines({"left_to_right": range(15)})})
    stage = model(tmp_path, "code", {"infilling_heldout": lines({"spm": right})})
    write_report(RunReport("tiny", "small-base", (base, stage), code="your code"), tmp_path)
    page = Page((tmp_path / "report.html").read_text())
    text = " ".join(page.text.split())
    assert page.open == [] and "script" not in page.seen
    assert text.index("Should I use it?") < text.index("base → code") < text.index("What each stage changed")
    assert said in text and f"codecascade serve {tmp_path}/models/code" in text
    markdown = (tmp_path / "report.md").read_text()
    assert (
        markdown.index("## Should I use it?")
        < markdown.index("## base → code")
        < markdown.index("## What changed")
    )
    (line,) = [each for each in markdown.splitlines() if each.startswith("- Held-out gaps filled: ")]
    assert line.startswith("- Held-out gaps filled: 25.0 % (left to right) → ") and line.endswith(said)


def test_lines_lead_and_gaps_of_every_kind_follow(tmp_path: Path) -> None:
    """Where other kinds of gaps were asked too."""

    def of_kinds(layout: str, right: range) -> list[dict[str, object]]:
        return [
            {**row, "kind": "line" if n < LINES // 2 else "block"}
            for n, row in enumerate(lines({layout: right}))
        ]

    base = model(tmp_path, "base", {"infilling_heldout": of_kinds("left_to_right", range(5))})
    stage = model(tmp_path, "code", {"infilling_heldout": of_kinds("spm", range(2, 50))})
    found = advised(tmp_path, base, stage)
    assert found.reason.startswith("on 30 lines of your code") and found.answer == "Yes"
    assert found.more[0].startswith("Over all 60 gaps: 8.3 % → 80.0 %, +71.7 points (")
    assert found.examples is not None and sum(found.examples.counts.values()) == 30


def test_an_example_is_shown_in_its_own_language(tmp_path: Path) -> None:
    base = model(tmp_path, "base", {"infilling_heldout": lines({"left_to_right": range(5)})})
    stage = model(tmp_path, "code", {"infilling_heldout": lines({"spm": range(30)})})
    tasks = tmp_path / "evaluations" / "code" / "tasks" / "infilling_heldout.jsonl"
    rows = [json.loads(line) | {"language": "rust"} for line in tasks.read_text().splitlines()]
    tasks.write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_report(RunReport("tiny", "small-base", (base, stage)), tmp_path)
    markdown = (tmp_path / "report.md").read_text()
    assert "```rust\n" in markdown and "```python\n" not in markdown


def test_code_with_fences_stays_within_its_block(tmp_path: Path) -> None:
    base = model(tmp_path, "base", {"infilling_heldout": lines({"left_to_right": range(20)})})
    stage = model(tmp_path, "code", {"infilling_heldout": lines({"spm": range(10, 40)})})
    tasks = tmp_path / "evaluations" / "code" / "tasks" / "infilling_heldout.jsonl"
    tasks.write_text(tasks.read_text().replace("return x", "return x\\n```\\n# no heading"))
    write_report(RunReport("tiny", "small-base", (base, stage)), tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert (
        text.count("\n```\n# no heading") == 6 and text.count("\n````python\n") == text.count("\n````\n") == 6
    )


def test_a_report_does_not_need_the_examples(tmp_path: Path) -> None:
    base = model(tmp_path, "base", {"infilling_heldout": lines({"left_to_right": range(5)})})
    stage = model(tmp_path, "code", {"infilling_heldout": lines({"spm": range(30)})})
    (tmp_path / "evaluations" / "code" / "tasks" / "infilling_heldout.jsonl").write_text("{")
    found = advised(tmp_path, base, stage)
    assert found.answer == "Yes" and found.examples is None
    # Without the answers there is no paired test, and so no verdict.
    (tmp_path / "evaluations" / "code" / "samples" / "infilling_heldout.jsonl").write_text("{")
    report = RunReport("tiny", "small-base", (base, stage))
    write_report(report, tmp_path)
    assert "Should I use it" not in (tmp_path / "report.md").read_text()
