"""An evaluation whose answers are judged: resumed, judged again without a model, compared, refused in time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from codecascade import cli
from codecascade.cascade.measure import sandbox_for
from codecascade.evaluation.analysis.compare import compare
from codecascade.evaluation.analysis.evaluation_folder import read_evaluation
from codecascade.evaluation.benchmarks.table import BENCHMARKS
from codecascade.evaluation.evaluate_settings import EvaluateSettings
from codecascade.evaluation.judges.answer_judge import check_judges, judge_for
from codecascade.evaluation.judges.judge import JudgedAnswer, Judgement
from codecascade.evaluation.judges.rule import RuleJudge
from codecascade.evaluation.judges.rules.hostility import HostilityRule
from codecascade.evaluation.judges.settings import JudgeSettings
from codecascade.ground.errors import RunFailed, UserError
from codecascade.ground.files.json_lines import write_jsonl
from codecascade.recipe import make_recipe

PROMPTS = [
    {"label": "hate", "group": "asian" if n % 2 else "women", "prompt": f"- one {n}\\n-"} for n in range(6)
]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_jsonl(tmp_path / "toxigen.jsonl", PROMPTS)
    return tmp_path / "toxigen.jsonl"


def answer(prompt: str) -> str:
    return " they are lazy" if "one 0" in prompt or "one 3" in prompt else " they cook"


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        cli.main(["eval", *arguments])
    out, err = capsys.readouterr()
    return int(end.value.code or 0), " ".join(out.split()), " ".join(err.split())


def test_a_judge_that_fails_halfway_goes_on_without_asking_anything_again(
    data: Path, tokenizer: Any, oracle: Any, measure: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = oracle(tokenizer, answer)
    judged: list[str] = []
    whole = RuleJudge.judge

    def failing(self: RuleJudge, answers: Sequence[JudgedAnswer]) -> Iterator[tuple[int, Judgement]]:
        for index, judgement in whole(self, answers):
            if len(judged) == 2:
                raise RunFailed("the judge is away")
            judged.append(answers[0].task_id)
            yield index, judgement

    monkeypatch.setattr(RuleJudge, "judge", failing)
    with pytest.raises(RunFailed, match="away"):
        measure("toxigen", model, data={"toxigen": data})
    assert model.asked == 6
    asked: list[int] = []

    def counting(self: RuleJudge, answers: Sequence[JudgedAnswer]) -> Iterator[tuple[int, Judgement]]:
        asked.append(len(answers))
        yield from whole(self, answers)

    monkeypatch.setattr(RuleJudge, "judge", counting)
    result, rows = measure("toxigen", model, data={"toxigen": data})
    assert model.asked == 6 and asked == [4], "two verdicts and all answers are kept"
    assert result.metrics["toxic"].value == pytest.approx(1 / 3) and len(rows) == 6


def test_what_could_not_be_judged_is_in_no_figure_and_counted(
    data: Path, tokenizer: Any, oracle: Any, measure: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsure(self: HostilityRule, each: JudgedAnswer) -> Judgement:
        return Judgement(None, "hm") if each.task_id.endswith("asian/1") else Judgement({"toxic": True})

    monkeypatch.setattr(HostilityRule, "__call__", unsure)
    result, rows = measure("toxigen", oracle(tokenizer, answer), data={"toxigen": data})
    assert result.metrics["toxic"].n == 5 and result.metrics["toxic"].value == 1
    assert any("1 of 6 replies of the judge could not be read" in note for note in result.notes)
    assert result.about["conditions"]["unjudged"] == {"n": 1, "of": 6}
    assert [row["unjudged"] for row in rows].count(True) == 1


@pytest.mark.parametrize("name", ["toxigen", "false_refusals"])
def test_a_prompt_that_does_not_fit_is_in_no_figure(
    name: str, data: Path, tokenizer: Any, oracle: Any, measure: Any
) -> None:
    model = oracle(tokenizer, answer, context_length=2)
    result, rows = measure(name, model, data={"toxigen": data})
    assert all(metric.n == 0 for metric in result.metrics.values()) and rows[0]["passed"] is None
    assert result.about["conditions"]["unasked"]["n"] == len(rows)
    assert result.about["conditions"]["unjudged"]["n"] == result.about["conditions"]["unrun"]["n"] == 0
    assert any("are in no figure" in note for note in result.notes)


def test_samples_are_judged_again_without_a_model(
    data: Path, tokenizer: Any, oracle: Any, measure: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    _, rows = measure("toxigen", oracle(tokenizer, answer), data={"toxigen": data})
    samples = str(tmp_path / "evaluation" / "samples" / "toxigen.jsonl")
    # A person finds all of them toxic. The rule's verdicts must leave no trace.
    write_jsonl("mine.jsonl", [{**row, "toxic": True, "judge": "Ada"} for row in rows])
    common = ["--data", "toxigen=toxigen.jsonl", "--samples", samples, "--name", "model"]
    code, out, err = run(capsys, *common, "-o", "rule")
    assert code == 0 and "judged by a local rule (words of insult" in out, err
    by_file = ["--set", "toxigen.judge=file", "--set", "toxigen.verdicts=mine.jsonl"]
    code, out, err = run(capsys, *common, *by_file, "-o", "person")
    assert code == 0 and "judged by verdicts of a file by Ada" in out, err
    first, second = (read_evaluation(Path(name)).benchmarks["toxigen"] for name in ("rule", "person"))
    assert (first.metrics["toxic"].value, second.metrics["toxic"].value) == (pytest.approx(1 / 3), 1.0)
    assert second.judge == "verdicts of a file by Ada"
    assert all(row["toxic"] and row["passed"] is False for row in second.rows())
    for name, judge in (("rule", "a local rule"), ("person", "verdicts of a file by Ada")):
        for report in ("report.md", "report.html"):
            assert f"judged by {judge}" in Path(name, report).read_text(encoding="utf-8")
    # Two judges are compared, and it is said that they are two.
    (compared,) = compare(Path("rule"), Path("person")).benchmarks
    assert any("judged by" in each and "Ada" in each for each in compared.run_differences)
    (alike,) = compare(Path("rule"), Path("rule")).benchmarks
    assert not alike.run_differences


def test_a_folder_belongs_to_one_judge(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ids = [f"toxigen/hate/{each['group']}/{n // 2 + 1}" for n, each in enumerate(PROMPTS)]
    write_jsonl("samples.jsonl", [{"task_id": name, "completion": "they cook"} for name in ids])
    write_jsonl("verdicts.jsonl", [{"task_id": name, "toxic": False} for name in ids])
    common = ["--benchmark", "toxigen", "--data", "toxigen.jsonl", "--samples", "samples.jsonl", "-o", "out"]
    assert run(capsys, *common)[0] == 0
    by_file = ["--set", "toxigen.judge=file", "--set", "toxigen.verdicts=verdicts.jsonl"]
    code, _, err = run(capsys, *common, *by_file)
    assert code == 2 and "was begun with other settings" in err and "toxigen.judge" in err
    # Verdicts for other ids, before anything is judged.
    write_jsonl("verdicts.jsonl", [{"task_id": "toxigen/9", "toxic": False}])
    code, _, err = run(capsys, *common[:-1], "other", *by_file)
    assert code == 2 and "verdicts.jsonl: task_id: has verdicts on toxigen/9, which are no tasks" in err
    assert not Path("other/results.json").exists()


def test_a_missing_judge_is_found_before_a_model_is_loaded(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["no-such-model", "--benchmark", "toxigen", "--data", "toxigen.jsonl", "-o", "out"]
    for setting, words in (
        ("toxigen.judge=nobody", "toxigen.judge: there is no judge 'nobody'"),
        ("toxigen.judge=file", "toxigen.verdicts: the judge 'file' needs a file of verdicts"),
        ("toxigen.judge=llm", "toxigen.judge_endpoint: the judge 'llm' needs the address"),
    ):
        code, _, err = run(capsys, *arguments, "--set", setting)
        assert code == 2 and words in err and "no-such-model" not in err


@pytest.mark.parametrize(
    ("own", "words"),
    [
        (
            {"judge_model": "x"},
            "toxigen.judge_model: is a setting of 'classifier' and 'llm', .* judge is 'rule'",
        ),
        ({"judge": "classifier", "verdicts": "x"}, "toxigen.verdicts: is a setting of 'file'"),
        ({"judge": "file", "verdicts": "x", "judge_label": "y"}, "toxigen.judge_label: .* of 'classifier'"),
        ({"judge": "classifier", "judge_tokens": 9}, "toxigen.judge_tokens: is a setting of 'llm'"),
        ({"judge_threshold": 0.9}, "toxigen.judge_threshold: is a setting of 'classifier'"),
    ],
)
def test_a_setting_of_another_judge_is_refused(own: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        judge_for(BENCHMARKS["toxigen"], EvaluateSettings(toxigen=own))
    defaults = {name: field.default for name, field in JudgeSettings.model_fields.items()}
    judge_for(BENCHMARKS["toxigen"], EvaluateSettings(toxigen=defaults))


def test_a_threshold_is_refused_where_the_classifier_gives_a_number() -> None:
    own = {"judge": "classifier", "judge_model": "x", "judge_threshold": 0.9}
    with pytest.raises(
        UserError, match=r"bold\.judge_threshold: is not used: here the classifier gives a number"
    ):
        judge_for(BENCHMARKS["bold"], EvaluateSettings(bold=own))
    judge_for(BENCHMARKS["toxigen"], EvaluateSettings(toxigen=own))


def test_a_missing_judge_is_found_before_a_cascade_trains() -> None:
    recipe = make_recipe(
        {
            "name": "x",
            "base": "tiny",
            "corpus": ["stdlib"],
            "evaluate": {"benchmarks": ["false_refusals"], "false_refusals": {"judge": "nobody"}},
            "stage": [{"name": "code", "kind": "code", "parent": "base", "steps": 3}],
        }
    )
    with pytest.raises(UserError, match=r"false_refusals\.judge: there is no judge 'nobody'"):
        sandbox_for(recipe, recipe.stage)
    check_judges(["false_refusals", "humaneval"], EvaluateSettings())


def test_the_prompt_of_a_language_model_is_kept_and_shown(
    data: Path, tokenizer: Any, oracle: Any, measure: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from codecascade.evaluation.running.results_file import write_results
    from codecascade.reports.evaluation.report import write_evaluation_report

    monkeypatch.setattr(RuleJudge, "shown", lambda self: "Is it toxic?\n{answer} <b>")
    result, _ = measure("toxigen", oracle(tokenizer, answer), data={"toxigen": data})
    folder = tmp_path / "evaluation"
    assert (folder / result.about["judge_prompt"]).read_text() == "Is it toxic?\n{answer} <b>"
    write_results(folder, "model", {"toxigen": result}, about={}, command="eval")
    write_evaluation_report(folder)
    assert "    {answer} <b>" in (folder / "report.md").read_text()
    assert "{answer} &lt;b&gt;" in (folder / "report.html").read_text()
    content = json.loads((folder / "results.json").read_text())
    assert content["benchmarks"]["toxigen"]["judge"].startswith("a local rule")
