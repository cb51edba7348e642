"""MBPP+: types that JSON does not know, EvalPlus' rules, both forms of the data, and both ways to ask."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from codecascade.evaluation.benchmarks.code import evalplus
from codecascade.evaluation.benchmarks.code.mbpp_plus import typed_inputs
from codecascade.evaluation.benchmarks.table import BENCHMARKS
from codecascade.evaluation.evaluate_settings import EvaluateSettings
from codecascade.evaluation.task import ChatPrompt, EvaluatedModel, EvaluationContext, Task, TextPrompt
from codecascade.ground.errors import UserError
from codecascade.ground.files.json_lines import write_jsonl
from codecascade.sandbox.sandbox import Sandbox

HUB = {
    "task_id": 5,
    "prompt": "Write a function to double.",
    "code": "def helper(x):\n    return x\ndef double(x):\n    return helper(x) * 2",
    "test_list": ["assert double(2) == 4"],
    "test": "import numpy as np\nfor x in (1, 2, 3.5):\n    assert np.allclose(double(x), 2 * x)\n",
}


@pytest.fixture(scope="module")
def confined() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


def row(
    number: int = 3, name: str = "double", body: str = "    return x * 2\n", **others: Any
) -> dict[str, Any]:
    return {
        "task_id": f"Mbpp/{number}",
        "prompt": f'"""\nWrite a function {name}.\nassert {name}(1) == 2\n"""\n',
        "entry_point": name,
        "canonical_solution": f"\ndef {name}(x, y=None):\n{body}",
        "base_input": [[1]],
        "plus_input": [[2], [3.25]],
        "atol": 0,
        **others,
    }


def tasks_of(folder: Path, *rows: dict[str, Any], chat: bool = False) -> list[Task]:
    write_jsonl(folder / "MbppPlus.jsonl", rows)
    settings = EvaluateSettings(chat="always" if chat else "never")
    return BENCHMARKS["mbpp_plus"].tasks(
        EvaluationContext(settings, EvaluatedModel(is_chat=chat), data=folder / "MbppPlus.jsonl")
    )


def passed(task: Task, answer: str, sandbox: Sandbox) -> list[bool]:
    assert task.programs is not None
    return [outcome.passed for outcome in sandbox.run_many(task.programs(task.extract(answer)))]


@pytest.mark.parametrize(
    ("number", "given", "wanted"),
    [
        (3, [[1, 2]], [[1, 2]]),
        (2, [[1], [2, 3]], [(1,), (2, 3)]),
        (63, [[[1, 2], [3]]], [[(1, 2), (3,)]]),
        (75, [[[1], [2]], 6], [[(1,), (2,)], 6]),
        (106, [[1], [2]], [[1], (2,)]),
        (115, [[[1, 2], []]], [[{1, 2}, {}]]),
        (124, ["1.5", "2j"], [1.5, 2j]),
        (252, ["(3+4j)"], [3 + 4j]),
        (259, [[[1], [2]], [[3]]], [((1,), (2,)), ((3,),)]),
        (278, [[1, [2, 3], "x"]], [(1, (2, 3), "x")]),
        (307, [["x", []], 1, 50], [("x", []), 1, 50]),
        (580, [[1, [2, [3]]]], [(1, (2, (3,)))]),
        (722, [{"a": [6.2, 70]}, 6.0], [{"a": (6.2, 70)}, 6.0]),
    ],
)
def test_arguments_have_the_types_that_json_does_not_know(
    number: int, given: list[Any], wanted: list[Any]
) -> None:
    [found] = typed_inputs(number, [given])
    assert repr(found) == repr(wanted)


def test_the_reference_passes_and_more_inputs_find_what_mbpps_do_not(
    tmp_path: Path, confined: Sandbox
) -> None:
    [task] = tasks_of(tmp_path, row())
    assert passed(task, task.expected, confined) == [True, True]
    assert passed(task, "def double(x):\n    return int(x * 2)", confined) == [True, False]
    assert passed(task, "def triple(x):\n    return x * 3", confined) == [False, False]


def test_an_empty_group_of_inputs_is_an_empty_object_in_the_file(tmp_path: Path, confined: Sandbox) -> None:
    [task] = tasks_of(tmp_path, row(plus_input={}))
    assert passed(task, task.expected, confined) == [True, True]
    assert passed(task, "def double(x):\n    return x * 3", confined) == [False, True]


def test_an_input_whose_result_is_too_large_to_be_handed_over_is_left_out(
    tmp_path: Path, confined: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evalplus, "LARGEST_RESULT", 1000)
    body = "    return [{'key': (x, 'text')}] * x\n"
    [task] = tasks_of(tmp_path, row(body=body, base_input=[[3]], plus_input=[[3], [500]]))
    assert passed(task, task.expected, confined) == [True, True]
    assert passed(task, "def double(x):\n    return [{'key': (x, 'text')}] * 3", confined) == [True, True]
    assert passed(task, "def double(x):\n    return [{'key': (x, 'text')}] * 4", confined) == [False, False]
    # Long numbers and nested results have a size, too.
    many = row(body="    return [[10 ** x], {x}]\n", base_input=[[3]], plus_input=[[6000]])
    [task] = tasks_of(tmp_path, many)
    assert passed(task, "def double(x):\n    return [[1000], {3}]", confined) == [True, True]


def test_typed_inputs_reach_the_answer(tmp_path: Path, confined: Sandbox) -> None:
    [task] = tasks_of(
        tmp_path, row(616, "kind", "    return x\n", base_input=[[[1, 2]]], plus_input=[[[float("inf"), 2]]])
    )
    assert passed(task, "def kind(x):\n    assert type(x) is tuple\n    return x", confined) == [True, True]


@pytest.mark.parametrize(
    ("number", "name", "body", "inputs", "answer", "right"),
    [
        # Anything that returns.
        (164, "are_equivalent", "return True", [[1, 2]], "return None", True),
        (164, "are_equivalent", "return True", [[1, 2]], "raise ValueError", False),
        (295, "sum_div", "return 7", [[8]], "return 0", True),
        (295, "sum_div", "return 7", [[8]], "return 8", False),
        # In any order, and as any collection.
        (7, "find_char_long", "return ['a', 'b']", [["x"]], "return ('b', 'a', 'a')", True),
        (7, "find_char_long", "return ['a', 'b']", [["x"]], "return ['a']", False),
        (8, "other", "return ['a', 'b']", [["x"]], "return ['b', 'a']", False),
        # Whether there is a match.
        (
            16,
            "text_match_three",
            "import re; return re.search('a', x)",
            [["a"], ["b"]],
            "return 'a' in x",
            True,
        ),
        (
            *(16, "text_match_three", "import re; return re.search('a', x)", [["a"], ["b"]]),
            *("import re; return re.search('(a)', x)", True),
        ),
        (
            *(16, "text_match_three", "import re; return re.search('a', x)", [["a"], ["b"]]),
            *("return 'Found a match!'", False),
        ),
        # The height along the axis, and digits place by place.
        (581, "surface_Area", "return 33", [[3, 4]], "return 35", True),
        (581, "surface_Area", "return 33", [[3, 4]], "return 34", False),
        (558, "digit_distance_nums", "return 1", [[23, 156]], "return 1 + 3 + 3", True),
        (558, "digit_distance_nums", "return 1", [[23, 156]], "return 8", False),
    ],
)
def test_problems_with_more_than_one_right_result(
    number: int,
    name: str,
    body: str,
    inputs: list[Any],
    answer: str,
    right: bool,
    confined: Sandbox,
    tmp_path: Path,
) -> None:
    changed = {"base_input": inputs, "plus_input": inputs, "atol": 0.0001 if number == 581 else 0}
    [task] = tasks_of(tmp_path, row(number, name, f"    {body}\n", **changed))
    assert passed(task, f"def {name}(x, y=None):\n    {answer}\n", confined) == [right, right]


def test_the_hubs_form_runs_its_own_test(tmp_path: Path, confined: Sandbox) -> None:
    [task] = tasks_of(tmp_path, HUB)
    assert task.task_id == "Mbpp/5" and "5" in task.aliases
    assert isinstance(task.prompt, TextPrompt) and task.prompt.prompt.endswith('assert double(2) == 4\n"""\n')
    assert passed(task, HUB["code"], confined) == [True]
    assert passed(task, "def double(x):\n    return 4", confined) == [False]


def test_a_base_model_continues_and_a_chat_model_is_asked(tmp_path: Path) -> None:
    [plain] = tasks_of(tmp_path, row())
    assert isinstance(plain.prompt, TextPrompt) and plain.prompt.prompt == row()["prompt"]
    assert {"\nassert", "\n```"} <= set(plain.prompt.stop)
    whole = plain.prompt.prompt + plain.expected
    assert plain.extract(whole) == whole
    [asked] = tasks_of(tmp_path, row(), chat=True)
    assert (
        isinstance(asked.prompt, ChatPrompt)
        and "Write a function double." in asked.prompt.messages[0].content
    )
    reply = (
        "Sure:\n```python\nimport math\ndef double(x):\n    return 2 * x\nprint(double(3))\n```\nThat is it."
    )
    assert asked.extract(reply).strip() == "import math\ndef double(x):\n    return 2 * x"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"task_id": "Mbpp/x"}, r"task_id: must end in a number"),
        ({"prompt": 3}, r"prompt: must be str, not int"),
        ({"base_input": [1]}, r"base_input: must be lists of arguments"),
        ({"plus_input": {"1": [2]}}, r"plus_input: must be list, not dict"),
        ({"task_id": "Mbpp/722"}, r"base_input: are not the inputs of MBPP's task 722"),
        ({"task_id": "Mbpp/106"}, r"base_input: are not the inputs of MBPP's task 106"),
    ],
)
def test_a_malformed_record_is_named(changed: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"MbppPlus\.jsonl:2: {said}"):
        tasks_of(tmp_path, row(), {**row(), **changed})
    for changed_hub, told in (
        ({"test_list": []}, "test_list: must be texts, one at least"),
        ({"code": "x = 1"}, "code: defines no function that test_list calls"),
        ({"test": None}, "test: must be str"),
    ):
        with pytest.raises(UserError, match=rf"MbppPlus\.jsonl:1: {told}"):
            tasks_of(tmp_path, {**HUB, **changed_hub})
