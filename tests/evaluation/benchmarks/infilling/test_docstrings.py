from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from codecascade.evaluation.benchmarks.infilling import docstrings
from codecascade.evaluation.benchmarks.infilling.docstrings import without_docstring
from codecascade.evaluation.evaluate_settings import EvaluateSettings
from codecascade.evaluation.running.execution import verdict_on
from codecascade.evaluation.scores import metrics_of
from codecascade.evaluation.task import EvaluatedModel, EvaluationContext, InfillingPrompt, TextPrompt
from codecascade.ground.errors import UserError

CODE = 'def twice(value):\n    """Return twice the value.\n\n    More.\n    """\n    return 2 * value\n'
ROW: dict[str, Any] = {
    "code": CODE,
    "docstring": "Return twice the value.\n\n    More.",
    "code_tokens": ["def"],
    "docstring_tokens": ["Return", "twice", "the", "value", "."],
    "func_name": "twice",
    "language": "python",
}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "python").mkdir()
    (tmp_path / "python/test.jsonl").write_text(json.dumps(ROW) + "\n")
    return tmp_path


def test_the_docstring_is_cut_out_and_its_first_line_scored(data: Path) -> None:
    (task,) = docstrings.tasks(EvaluationContext(EvaluateSettings(), data=data))
    assert isinstance(task.prompt, InfillingPrompt) and task.prompt.format == "psm"
    assert task.prompt.prefix == 'def twice(value):\n    """'
    assert task.prompt.suffix == '"""\n    return 2 * value\n'
    assert task.expected == "Return twice the value ."
    completion = task.completion("\n    Return twice the value.\n\n    And more of it.", "stop")
    assert completion == "Return twice the value."
    row = {"task_id": task.task_id, **task.fields, **verdict_on(task, completion, [])}
    assert row["bleu"] == pytest.approx(1.0)
    other = {"task_id": "other", **task.fields, **verdict_on(task, "Halve it.", [])}
    found = metrics_of(docstrings.scores([row, other]))
    assert found["bleu"].value == pytest.approx((1 + other["bleu"]) / 2) and 0 <= other["bleu"] < 0.3


def test_a_model_that_can_not_infill_is_measured_left_to_right(data: Path) -> None:
    context = EvaluationContext(EvaluateSettings(), EvaluatedModel(infilling_formats=()), data)
    (task,) = docstrings.tasks(context)
    assert task.prompt == TextPrompt('def twice(value):\n    """')
    found = metrics_of(docstrings.scores([{"task_id": "a", **task.fields, "bleu": 0.5}]))
    assert {name: figure.value for name, figure in found.items()} == {"bleu_left_to_right": 0.5}


@pytest.mark.parametrize(
    ("code", "docstring", "prefix", "suffix"),
    [
        ("def f(a='x'):\n    'Say it.'\n    print a\n", "Say it.", "def f(a='x'):\n    '", "'\n    print a\n"),
        ("def f():  # don't\n    r'''Match \\' it.'''\n", "Match \\' it.", "def f():  # don't\n    r'''", "'''\n"),
        ('def f(a="""z"""):\n    """\n    Sum up."""\n', "Sum up.", 'def f(a="""z"""):\n    """', '"""\n'),
        ("def f():\n    x\n", "Gone.", 'def f():\n    """', '"""\n    x\n'),
        ("lambda: 0", "Gone.", 'lambda: 0    """', '"""\n'),
        ("def f():\n    x\n", "", 'def f():\n    """', '"""\n    x\n'),
        ('def f():\n    """Open', "Open", 'def f():\n    """', '"""\n    """Open'),
    ],
)  # fmt: skip
def test_where_a_docstring_is(code: str, docstring: str, prefix: str, suffix: str) -> None:
    assert without_docstring(code, docstring) == (prefix, suffix)


def test_a_row_without_tokens_is_named(data: Path) -> None:
    (data / "python/test.jsonl").write_text(json.dumps({**ROW, "docstring_tokens": "Return"}) + "\n")
    with pytest.raises(UserError, match=r"test\.jsonl:1: docstring_tokens: must be list"):
        docstrings.tasks(EvaluationContext(EvaluateSettings(), data=data))
