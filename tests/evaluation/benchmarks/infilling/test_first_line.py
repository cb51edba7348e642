"""Infilling and left to right are judged by one rule: of an answer to a masked line the first line counts."""

from __future__ import annotations

from typing import Any

import pytest
from infilling_gaps import TASKS, answering

from codecascade.evaluation.benchmarks.infilling.gaps import finished_middle, first_line_of, infilling_tasks
from codecascade.evaluation.evaluate_settings import EvaluateSettings
from codecascade.evaluation.task import EvaluatedModel, EvaluationContext

RAN_ON = "b = a + {0}\nd = 1\n"


@pytest.mark.parametrize(("first_line", "right"), [(True, 1.0), (False, 0.0)])
def test_infilling_and_left_to_right_end_by_one_rule(
    tokenizer: Any, oracle: Any, sandbox: Any, score: Any, first_line: bool, right: float
) -> None:
    """What goes on behind the right line is judged by this line alone, in each layout."""
    middles = {task.prefix: RAN_ON.format(number) for number, task in enumerate(TASKS)}
    settings = EvaluateSettings(
        infilling={"layouts": ["psm", "spm", "left_to_right"], "first_line": first_line}
    )
    result, rows = score(answering(tokenizer, oracle, middles), sandbox=sandbox, settings=settings)
    values = {name: metric.value for name, metric in result.metrics.items()}
    assert values == {
        "exact_match": right,
        "exact_match_spm": right,
        "exact_match_left_to_right": 1.0,
        "pass@1": 1.0,
        "pass@1_spm": 1.0,
        "pass@1_left_to_right": 1.0,
        "ended": 1.0,
        "exact_match_to_end": 0.0,
    }
    of_first_task = {row["format"]: row["completion"] for row in rows if row["task_id"] == "t0"}
    assert of_first_task["left_to_right"] == "b = a + 0\n"
    assert of_first_task["psm"] == of_first_task["spm"] == ("b = a + 0\n" if first_line else RAN_ON.format(0))


def test_answers_may_end_with_their_first_line(tokenizer: Any, oracle: Any, sandbox: Any, score: Any) -> None:
    """Then the same is right, less is written, and nothing is said of an end that the model did not write."""
    answers = {task.prefix: RAN_ON.format(number) for number, task in enumerate(TASKS)}
    figures, written = [], []
    for to_end in (True, False):
        settings = EvaluateSettings(infilling={"layouts": ["spm"], "to_end": to_end})
        result, rows = score(answering(tokenizer, oracle, answers), sandbox=sandbox, settings=settings)
        figures.append({name: metric.value for name, metric in result.metrics.items()})
        written.append([row.get("text", row["completion"]) for row in rows])
        assert [row["completion"] for row in rows] == [
            f"b = a + {n % len(TASKS)}\n" for n in range(len(rows))
        ]
    assert figures[0].items() - figures[1].items() == {("ended", 1.0), ("exact_match_to_end", 0.0)}
    assert figures[1]["exact_match"] == figures[1]["exact_match_spm"] == 1.0
    assert all("d = 1" in text for text in written[0]) and not any("d = 1" in text for text in written[1])
    # where all that was written counts, it is written to its end
    whole = EvaluateSettings(infilling={"first_line": False, "to_end": False})
    assert infilling_tasks(TASKS[:1], EvaluationContext(whole))[0].prompt.stop == ()


def test_the_settings_name_the_layouts_that_are_asked(tokenizer: Any) -> None:
    def asked(known: tuple[str, ...], **own: Any) -> list[str]:
        settings = EvaluateSettings(infilling=own)
        context = EvaluationContext(settings, EvaluatedModel(infilling_formats=known))
        return [task.fields["format"] for task in infilling_tasks(TASKS[:1], context)]

    both = ("psm", "spm")
    assert asked(both) == ["psm", "spm"] and asked(both, format="spm") == ["spm", "psm"]
    assert asked(both, format="spm", layouts=["left_to_right"]) == ["spm", "left_to_right"]
    assert asked(("psm",), format="spm", layouts=["left_to_right"]) == ["psm", "left_to_right"]
    assert asked((), layouts=["left_to_right"]) == ["left_to_right"]
    assert asked(("suffix",)) == ["suffix"], "a server's own layout"


@pytest.mark.parametrize(
    ("text", "middle", "kept"),
    [
        ("    x = 1\n    y = 2\n", "    x = 1\n", "    x = 1\n"),
        # Without its line break, which the file has behind the line whoever writes it.
        ("    x = 1", "    x = 1\n", "    x = 1\n"),
        ("= 1\n    y = 2\n", "= 1", "= 1"),
        ("", "    x = 1\n", ""),
        ("\n    x = 1\n", "    x = 1\n", "\n"),
    ],
)
def test_the_first_line_of_an_answer(text: str, middle: str, kept: str) -> None:
    assert first_line_of(text, middle=middle) == kept == first_line_of(kept, middle=middle)


def test_by_the_other_rule_only_a_line_that_did_not_end_is_cut() -> None:
    text = "    x = 1\n    y = 2\n"
    assert finished_middle(text, "length", layout="psm") == "    x = 1\n"
    assert finished_middle(text, "stop", layout="psm") == text
    assert finished_middle("    x = 1", "length", layout="spm") == "    x = 1"
    assert finished_middle("    x = 1", "stop", layout="left_to_right") == "    x = 1\n"
    assert finished_middle(text, "length", layout="psm", whole_lines=False) == text, (
        "other kinds are no lines"
    )
