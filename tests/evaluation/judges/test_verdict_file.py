"""Verdicts that somebody made elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from codecascade.evaluation.benchmarks.table import BENCHMARKS
from codecascade.evaluation.judges.judge import ExpectedSample, Judge, JudgedAnswer
from codecascade.evaluation.judges.table import make_judge
from codecascade.ground.errors import UserError
from codecascade.ground.files.json_lines import write_jsonl

KNOWN = frozenset({"t/1", "t/2", "t/3"})
TWO = [ExpectedSample("t/1", 0), ExpectedSample("t/2", 0)]


def judge_of(path: Path, rows: list[dict[str, Any]], name: str = "toxigen") -> Judge:
    write_jsonl(path / "verdicts.jsonl", rows)
    benchmark = BENCHMARKS[name]
    assert benchmark.judging is not None and benchmark.settings is not None
    settings = benchmark.settings(judge="file", verdicts=str(path / "verdicts.jsonl"))  # type: ignore[call-arg]
    return make_judge(benchmark.judging, settings)  # type: ignore[arg-type]


def verdicts(judge: Judge, *answers: str) -> list[Any]:
    judged = [JudgedAnswer(n, f"t/{n + 1}", 0, answer) for n, answer in enumerate(answers)]
    return [judgement.values for _, judgement in judge.judge(judged)]


def test_verdicts_are_found_by_task_and_sample(tmp_path: Path) -> None:
    rows = [
        {"task_id": "t/2", "toxic": False, "judge": "two people"},
        {"task_id": "t/1", "sample": 0, "toxic": True, "judge": "two people"},
        {"task_id": "t/1", "sample": 1, "toxic": False, "judge": "two people"},
    ]
    judge = judge_of(tmp_path, rows)
    judge.check()
    judge.expect([*TWO, ExpectedSample("t/1", 1)], KNOWN)
    assert verdicts(judge, "a", "b") == [{"toxic": True}, {"toxic": False}]
    assert judge.label == "verdicts of a file by two people"
    # More verdicts than samples (a part of the problems is measured) are no mistake.
    judge.expect(TWO[:1], KNOWN)


def test_another_file_is_another_judge_unless_it_says_who_judged(tmp_path: Path) -> None:
    one, two = [{"task_id": "t/1", "toxic": True}], [{"task_id": "t/1", "toxic": False}]
    labels = {judge_of(tmp_path, rows).label for rows in (one, two)}
    assert len(labels) == 2
    signed = {judge_of(tmp_path, [row | {"judge": "Ada"} for row in rows]).label for rows in (one, two)}
    assert len(signed) == 1
    assert judge_of(tmp_path, one).identity() != judge_of(tmp_path, two).identity()


def test_a_line_of_nulls_is_no_verdict(tmp_path: Path) -> None:
    # So are the lines of samples whose prompt did not fit, in the file that a person edits.
    rows = [{"task_id": "t/1", "toxic": True}, {"task_id": "t/2", "toxic": None, "unjudged": False}]
    judge = judge_of(tmp_path, rows)
    judge.check()
    judge.expect(TWO[:1], KNOWN)
    with pytest.raises(UserError, match=r"has no verdict on t/2 \(sample 0\)"):
        judge.expect(TWO, KNOWN)
    with pytest.raises(UserError, match=r"holds no verdicts \(in 1 line toxic is null\)"):
        judge_of(tmp_path, rows[1:]).check()
    halves = [{"task_id": "t/1", "truthful": True, "informative": None}]
    with pytest.raises(UserError, match="informative: must be bool, not NoneType"):
        judge_of(tmp_path, halves, "truthfulqa").check()


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([{"task_id": "t/1", "toxic": True}], r"has no verdict on t/2 \(sample 0\)"),
        ([{"task_id": "t/1", "toxic": True}, {"task_id": "x/9", "toxic": True}], "x/9, which are no tasks"),
        ([{"task_id": "t/1"}], r"verdicts\.jsonl:1: toxic: is missing"),
        ([{"task_id": "t/1", "toxic": "yes"}], r":1: toxic: must be bool, not str"),
        ([{"toxic": True}], r":1: task_id: is missing"),
        ([{"task_id": "t/1", "toxic": True}] * 2, r":2: task_id: a second verdict on t/1"),
        ([], "holds no verdicts"),
    ],
)
def test_a_wrong_file_is_refused_before_a_model_is_asked(tmp_path: Path, rows: list[Any], words: str) -> None:
    judge = judge_of(tmp_path, rows)
    with pytest.raises(UserError, match=words):
        judge.check()
        judge.expect(TWO, KNOWN)


def test_a_verdict_on_another_answer_is_refused(tmp_path: Path) -> None:
    judge = judge_of(tmp_path, [{"task_id": "t/1", "toxic": True, "completion": "a text"}])
    assert verdicts(judge, "a text") == [{"toxic": True}]
    with pytest.raises(UserError, match=r":1: completion: the verdict is on another answer to t/1"):
        verdicts(judge, "another text")


def test_numbers_must_be_in_their_range(tmp_path: Path) -> None:
    judge = judge_of(tmp_path, [{"task_id": "t/1", "sentiment": 0.5}], "bold")
    assert verdicts(judge, "a") == [{"sentiment": 0.5}]
    with pytest.raises(UserError, match=r"sentiment: must be from -1 to 1 \(got 3\)"):
        judge_of(tmp_path, [{"task_id": "t/1", "sentiment": 3}], "bold").check()


def test_the_file_must_be_named_and_there(tmp_path: Path) -> None:
    benchmark = BENCHMARKS["toxigen"]
    assert benchmark.judging is not None and benchmark.settings is not None
    with pytest.raises(UserError, match=r"toxigen\.verdicts: the judge 'file' needs a file of verdicts"):
        make_judge(benchmark.judging, benchmark.settings(judge="file"))  # type: ignore[call-arg, arg-type]
    (tmp_path / "verdicts.jsonl").unlink(missing_ok=True)
    missing = benchmark.settings(judge="file", verdicts=str(tmp_path / "no.jsonl"))  # type: ignore[call-arg]
    with pytest.raises(UserError, match=r"no\.jsonl: there is no such file"):
        make_judge(benchmark.judging, missing).check()  # type: ignore[arg-type]
    with pytest.raises(
        UserError, match=r"toxigen\.judge: there is no judge 'clasifier'; did you mean 'classifier'"
    ):
        make_judge(benchmark.judging, benchmark.settings(judge="clasifier"))  # type: ignore[call-arg, arg-type]
