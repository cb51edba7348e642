"""The studies of self-instruct in small, and dialogues that were made before the run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from question_teacher import ScriptedBackend, teach
from teaching_runs import SMALL, Teachers, rows, told

from codecascade.cascade.run import run_cascade
from codecascade.cascade.run_corpus import run_benchmark_texts
from codecascade.cascade.run_folder import RunFolder
from codecascade.ground.errors import UserError
from codecascade.ground.files.reading import read_json
from codecascade.instruct.self_instruct.pipeline import Backends, run_self_instruct
from codecascade.instruct.self_instruct.settings import SelfInstructSettings
from codecascade.plan.plan import make_plan
from codecascade.recipe import make_recipe, read_recipe
from codecascade.sandbox.sandbox import Sandbox

QUESTIONS = "Question,Best Answer,Correct Answers,Incorrect Answers\n" + "".join(
    f"What is {number}?,It is {number}.,It is {number}.,It is more.\n" for number in range(3)
)


def in_small(name: str, stages: dict[str, Any], evaluate: dict[str, Any], *changes: str) -> dict[str, Any]:
    """A recipe that is shipped, with its tree and its questions, on a tiny model."""
    data: dict[str, Any] = json.loads(read_recipe(name, list(changes)).model_dump_json(exclude_none=True))
    for stage in data["stage"]:
        stage |= {**SMALL, "loss_chunk_tokens": 256, "tokens": 512, "warmup_steps": 0, "evaluate": evaluate}
    return data | {"base": stages["base"], "corpus": [stages["corpus"]], "evaluate": evaluate}


@pytest.mark.usefixtures("quickly")
def test_the_study_recipe_in_small(stages: dict[str, Any], teachers: Teachers, tmp_path: Path) -> None:
    """Four stages from one parent, one of them without dialogues."""
    changes = ("self_instruct.teacher={stage='code'}", "self_instruct.questions=5")
    data = in_small("instruct-study", stages, {"benchmarks": []}, *changes)
    text = told(make_recipe(data), tmp_path / "run")
    assert [stage["name"] for stage in data["stage"]] == ["code", "self", "mined", "both", "neither"]
    assert "both: its dialogues are those of self" in text
    results = read_json(tmp_path / "run" / "results.json")["cost"]
    assert len({results[name]["tokens"] for name in ("self", "mined", "both", "neither")}) == 1


@pytest.mark.usefixtures("quickly")
def test_a_model_that_is_its_own_teacher_in_small(
    stages: dict[str, Any], teachers: Teachers, tmp_path: Path
) -> None:
    """Before and after are measured by a benchmark whose data the recipe names."""
    (tmp_path / "TruthfulQA.csv").write_text(QUESTIONS)
    evaluate = {
        "benchmarks": ["truthfulqa"],
        "data": [str(tmp_path / "TruthfulQA.csv")],
        "truthfulqa": {"max_new_tokens": 2, "judge": "rule"},
        "limit": 2,
    }
    data = in_small("studies/own-teacher", stages, evaluate, "stage.self.self_instruct.questions=5")
    recipe, run = make_recipe(data), tmp_path / "run"
    told(recipe, run)
    assert teachers.opened == [("base", stages["base"])]
    results = read_json(run / "results.json")
    assert list(results["models"]) == ["base", "self", "control"]
    for name, measured in results["models"].items():
        assert "true_and_informative" in measured["truthfulqa"]
        assert len(rows(run / "evaluations" / name / "samples" / "truthfulqa.jsonl")) == 2
    assert results["cost"]["self"]["tokens"] == results["cost"]["control"]["tokens"] > 0
    (found,) = (run / "evaluations" / "self").glob("results.json")
    assert "TruthfulQA.csv, digest" in found.read_text()
    (tmp_path / "TruthfulQA.csv").unlink()
    with pytest.raises(UserError, match=r"TruthfulQA.csv: evaluate.data: there is no such file"):
        told(recipe, run)


@pytest.mark.usefixtures("quickly")
def test_dialogues_that_were_made_before_are_taken(
    stages: dict[str, Any], teachers: Teachers, tmp_path: Path
) -> None:
    """Whatever the recipe says of how they would be made; nobody is asked, and a teacher need not be there."""
    own, backend = tmp_path / "own", ScriptedBackend(teach)
    with Sandbox("weak") as box:
        run_self_instruct(SelfInstructSettings(questions=3, solutions=1), Backends(backend), box, own)
    stages["self_instruct"] = {
        "teacher": "absent/",
        "questions": 600,
        "question": {"sources": [{"source": "file", "path": "absent.txt"}]},
        "made_in": str(own),
    }
    del stages["stage"][0]["self_instruct"]
    recipe, run = make_recipe(stages), tmp_path / "run"
    assert not make_plan(recipe).dialogues
    text = told(recipe, run)
    assert "chat: 3 dialogues by self-instruct" in text
    assert teachers.opened == []
    made = run / "dialogues" / "chat" / "self-instruct"
    assert (made / "dialogues.jsonl").read_bytes() == (own / "dialogues.jsonl").read_bytes()
    assert not (made / "journal.jsonl").exists()
    assert RunFolder(run).has_dialogues("chat", "self-instruct"), "with the reports that own did not have"
    shutil.rmtree(own)
    shutil.rmtree(run / "models" / "chat")
    told(recipe, run)
    assert (run / "models" / "chat").is_dir(), "the run has its own copy"
    assert teachers.opened == []


@pytest.mark.usefixtures("quickly")
def test_what_dialogues_were_made_of_need_not_stay(
    stages: dict[str, Any], teachers: Teachers, tmp_path: Path
) -> None:
    """A run that goes on needs no file of questions for dialogues that it has made."""
    (file := tmp_path / "questions.txt").write_text("Write a function that adds 7 to a number.\n")
    question = {"sources": [{"source": "file", "path": str(file)}]}
    stages["stage"][0]["self_instruct"] = {"questions": 1, "solutions": 1, "question": question}
    recipe, run = make_recipe(stages), tmp_path / "run"
    told(recipe, run)
    file.unlink()
    shutil.rmtree(run / "models" / "chat")
    told(recipe, run)
    assert (run / "models" / "chat").is_dir()


def test_a_folder_without_a_dialogue_is_found_before_the_run(stages: dict[str, Any], tmp_path: Path) -> None:
    with Sandbox("weak") as box:
        nothing = ScriptedBackend(lambda prompt: "")
        run_self_instruct(SelfInstructSettings(questions=1), Backends(nothing), box, tmp_path / "own")
    stages["stage"][0]["self_instruct"] = {"made_in": str(tmp_path / "own")}
    with pytest.raises(UserError, match=r"own: stage\[0\].self_instruct.made_in: holds no dialogue"):
        run_cascade(make_recipe(stages), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("until", [None, "chat"])
def test_dialogues_with_a_benchmarks_questions_are_not_taken(
    stages: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, until: str | None
) -> None:
    """The folder may have been made where the data of the run's benchmarks was not. A later stage may use them."""
    task = "Write a function that adds 7 to the number of apples in the second basket."
    (questions := tmp_path / "questions.txt").write_text(task + "\n")
    problem = {
        "task_id": 11,
        "text": task,
        "code": "def f(x):\n    return x",
        "test_list": ["assert f(1) == 1"],
    }
    (data := tmp_path / "mbpp.jsonl").write_text(json.dumps(problem))
    question = {"sources": [{"source": "file", "path": str(questions)}]}
    settings = SelfInstructSettings.model_validate({"questions": 1, "solutions": 1, "question": question})
    with Sandbox("weak") as box:
        run_self_instruct(settings, Backends(ScriptedBackend(teach)), box, tmp_path / "own")
    stages["stage"][0]["self_instruct"] = {"made_in": str(tmp_path / "own")}
    later = {**stages["stage"][0], "name": "later", "evaluate": {"benchmarks": [], "data": [f"mbpp={data}"]}}
    stages["stage"].append(later)
    monkeypatch.setattr(
        "codecascade.cascade.dialogues.self_instruct.run_benchmark_texts", run_benchmark_texts
    )
    with pytest.raises(UserError, match=r"made_in: 1 of its 1 questions .* as 'mbpp.*--decontaminate"):
        run_cascade(make_recipe(stages), tmp_path / "run", until=until)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("row", [{}, {"id": None}, {"id": ["a"]}, {"id": "another"}])
def test_a_dialogue_whose_question_is_not_known_is_not_taken(
    stages: dict[str, Any], tmp_path: Path, row: dict[str, Any]
) -> None:
    with Sandbox("weak") as box:
        run_self_instruct(
            SelfInstructSettings(questions=1, solutions=1),
            Backends(ScriptedBackend(teach)),
            box,
            tmp_path / "own",
        )
    (own := tmp_path / "own" / "dialogues.jsonl").write_text(json.dumps({"messages": [], **row}))
    stages["stage"][0]["self_instruct"] = {"made_in": str(own.parent)}
    with pytest.raises(
        UserError, match=r"dialogues.jsonl:1: stage\[0\].self_instruct.made_in: its question is not in"
    ):
        run_cascade(make_recipe(stages), tmp_path / "run")


def test_dialogues_that_are_not_finished_are_not_taken(stages: dict[str, Any], tmp_path: Path) -> None:
    stages["stage"][0]["self_instruct"] = {"made_in": str(tmp_path)}
    with pytest.raises(
        UserError,
        match=r"stage\[0\].self_instruct.made_in: is no finished folder of .* \(it has no summary.json, ",
    ):
        run_cascade(make_recipe(stages), tmp_path / "run")
    assert not (tmp_path / "run").exists()
