"""The same problems with suffixes that belong to others: whether a model uses what it sees there."""

from __future__ import annotations

from typing import Any

from infilling_gaps import TASKS, answering

from codecascade.evaluation.benchmarks.infilling import multilingual
from codecascade.evaluation.benchmarks.infilling.gaps import infilling_tasks
from codecascade.evaluation.evaluate_settings import EvaluateSettings
from codecascade.evaluation.task import EvaluatedModel, EvaluationContext, InfillingPrompt, TextPrompt
from codecascade.ground.files.json_lines import write_jsonl

SHUFFLED = EvaluateSettings(infilling={"suffix": "shuffled", "layouts": ["left_to_right"]})


def test_each_problem_is_asked_with_a_suffix_of_another() -> None:
    context = EvaluationContext(SHUFFLED, EvaluatedModel(infilling_formats=("psm",)))
    tasks = infilling_tasks(TASKS, context)
    asked = [task.prompt for task in tasks[: len(TASKS)]]
    assert all(isinstance(prompt, InfillingPrompt) for prompt in asked)
    assert [prompt.prefix for prompt in asked] == [problem.prefix for problem in TASKS]  # type: ignore[union-attr]
    problems = [problem.suffix for problem in TASKS]
    suffixes = [prompt.suffix for prompt in asked]  # type: ignore[union-attr]
    assert sorted(suffixes) == sorted(problems)
    # left to right no suffix is seen
    assert all(isinstance(task.prompt, TextPrompt) for task in tasks[len(TASKS) :])


def test_lines_of_one_function_do_not_get_each_others_suffix(tmp_path: Any) -> None:
    rows = [
        {
            "name": f"HumanEval_{number}",
            "language": "py",
            "prompt": f"p{number}",
            "suffix": f"s{number}",
            "canonical_solution": "x",
        }
        for number in range(6)
        for _ in range(2)
    ]
    path = tmp_path / "fim.jsonl"
    write_jsonl(path, rows)
    context = EvaluationContext(SHUFFLED, EvaluatedModel(infilling_formats=("psm",)), data=path)
    asked = [task.prompt for task in multilingual.tasks(context) if task.fields["format"] == "psm"]
    assert len(asked) == 12
    for prompt in asked:
        assert isinstance(prompt, InfillingPrompt)
        assert prompt.prefix[1:] != prompt.suffix[1:]


def test_the_true_suffix_still_judges_and_the_note_says_what_was_asked(
    tokenizer: Any, oracle: Any, sandbox: Any, score: Any
) -> None:
    middles = {task.prefix: task.middle for task in TASKS}
    result, _ = score(answering(tokenizer, oracle, middles), sandbox=sandbox, settings=SHUFFLED)
    assert result.metrics["pass@1"].value == result.metrics["exact_match"].value == 1.0
    assert any("infilling.suffix" in note for note in result.notes)
