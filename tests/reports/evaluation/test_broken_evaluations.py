"""A folder whose files are malformed or missing: the error says which, and what can be shown is shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from evaluations import humaneval_samples, write_evaluation, write_lines

from codecascade.evaluation.analysis.evaluation_folder import read_evaluation
from codecascade.evaluation.metrics import wilson
from codecascade.ground.errors import UserError
from codecascade.reports.evaluation.report import write_evaluation_report


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "is not an evaluation"),
        ("{", "not valid JSON"),
        ("[]", "must be an object"),
        ("{}", "models"),
        ('{"models": {"a": {}, "b": {}}}', "2 models"),
        ('{"models": {"a": {"humaneval": {"pass@1": {"value": 1}}}}}', "humaneval.pass@1"),
        ('{"models": {"a": {"humaneval": 3}}}', "humaneval: must be an object"),
    ],
)
def test_broken_results_are_named(tmp_path: Path, content: str | None, words: str) -> None:
    if content is not None:
        (tmp_path / "results.json").write_text(content)
    with pytest.raises(UserError, match=words):
        write_evaluation_report(tmp_path)


def test_a_run_of_several_models_says_where_theirs_are(tmp_path: Path) -> None:
    write_evaluation(tmp_path / "evaluations" / "base", {"humaneval": humaneval_samples()})
    (tmp_path / "results.json").write_text('{"models": {"base": {}, "code": {}}}')
    with pytest.raises(UserError, match="evaluations/base"):
        read_evaluation(tmp_path)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", r"humaneval\.jsonl:3: is not valid JSON"),
        ("[1]", r"humaneval\.jsonl:3: must be a JSON object"),
        ('{"completion": "x"}', r"humaneval\.jsonl:3: task_id: is missing"),
        ('{"task_id": 7}', r"humaneval\.jsonl:3: task_id: must be a text"),
        ('{"task_id": "a", "completion": null}', r"humaneval\.jsonl:3: completion: must be a text"),
    ],
)
def test_broken_samples_are_named_by_line(tmp_path: Path, line: str, words: str) -> None:
    write_evaluation(tmp_path, {"humaneval": humaneval_samples(1, 2)})
    path = tmp_path / "samples" / "humaneval.jsonl"
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(UserError, match=words):
        write_evaluation_report(tmp_path)


def test_a_folder_that_says_nothing_but_figures(tmp_path: Path) -> None:
    half = wilson(1, 2).to_json()
    content = {"models": {"m": {"humaneval": {"pass@1": half}, "mine": {"loss": half}}}}
    write_lines(tmp_path / "results.json", [content])
    write_evaluation_report(tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert "| humaneval | pass@1 | 50.0 % |" in text
    assert "| mine | loss | 0.500 |" in text


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("value", "NaN", "finite"),
        ("low", "-Infinity", "finite"),
        ("high", "1e400", "finite"),
        ("value", '"0.5"', "must be a number"),
        ("value", "true", "must be a number"),
        ("value", "null", "is missing"),
        ("value", "[1]", "must be a number"),
        ("n", "3.7", "must be an integer"),
        ("n", "-1", "at least 0"),
        ("n", "false", "must be an integer"),
        ("n", "1e40", "must be at most"),
        ("value", "9" * 400, "must be at most"),
    ],
)
def test_a_figure_of_another_type_is_named(tmp_path: Path, name: str, value: str, words: str) -> None:
    figure = {"value": "0.5", "low": "0.1", "high": "0.9", "n": "3"} | {name: value}
    numbers = ", ".join(f'"{each}": {text}' for each, text in figure.items())
    (tmp_path / "results.json").write_text(
        f'{{"models": {{"a": {{"humaneval": {{"pass@1": {{{numbers}}}}}}}}}}}'
    )
    with pytest.raises(UserError, match=rf"results\.json: humaneval\.pass@1\.{name}: .*{words}"):
        write_evaluation_report(tmp_path)
