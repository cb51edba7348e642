"""Self-instruct as a step of a cascade, with a teacher that always writes the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from question_teacher import ScriptedBackend, teach
from teaching_runs import CHAT, Teachers, rows, told

from codecascade.cascade.dialogues import self_instruct as module
from codecascade.cascade.run import run_cascade
from codecascade.ground.errors import RunFailed, UserError
from codecascade.plan.display import plan_json
from codecascade.plan.plan import make_plan
from codecascade.recipe import make_recipe, read_recipe


def test_a_stage_makes_its_dialogues_and_is_trained_on_them(
    stages: dict[str, Any], teachers: Teachers, tmp_path: Path
) -> None:
    recipe, run = make_recipe(stages), tmp_path / "run"
    text = told(recipe, run)
    folder = run / "dialogues" / "chat" / "self-instruct"
    made = rows(folder / "dialogues.jsonl")
    assert len(made) == 6
    assert "adds" in made[0]["messages"][-2]["content"]
    assert "return value +" in made[0]["messages"][-1]["content"]
    assert teachers.opened == [("base", stages["base"])], "the stage's parent is the teacher"
    assert "chat: 6 dialogues by self-instruct" in text
    assert "of self-instruct" in text and "ahead: about" in text
    assert {"triplets.jsonl", "summary.json", "report.md", "report.html", "datasheet.md"} <= {
        path.name for path in folder.iterdir()
    }
    page = (run / "report.md").read_text()
    assert "Its dialogues by self-instruct (by scripted): 6 questions, of which 6 got tests and 6 a" in page
    assert "dialogues/chat/self-instruct/report.html" in page
    assert read_recipe(run / "recipe.toml") == recipe
    asked = len(teachers.backend.asked)
    assert "nothing to do" in told(recipe, run)
    assert len(teachers.backend.asked) == asked


@pytest.mark.usefixtures("quickly")
def test_stages_with_the_same_settings_share_what_is_made(
    stages: dict[str, Any], teachers: Teachers, tmp_path: Path
) -> None:
    shared = {key: value for key, value in CHAT.items() if key != "self_instruct"}
    stages["self_instruct"] = CHAT["self_instruct"] | {"teacher": {"stage": "base"}}
    stages["stage"] = [
        shared,
        {**shared, "name": "both", "dialogues": ["self-instruct", "mined"], "mined_dialogues": 3},
        {**shared, "name": "other", "self_instruct": {"seed": 7}},
    ]
    run = tmp_path / "run"
    text = told(make_recipe(stages), run)
    assert "both: its dialogues are those of chat, made in the same way" in text
    assert [name for name, _ in teachers.opened] == ["base", "base"]
    files = [
        run / "dialogues" / name / "self-instruct" / "dialogues.jsonl" for name in ("chat", "both", "other")
    ]
    first, second, third = (file.read_bytes() for file in files)
    assert first == second != third
    assert not (files[1].parent / "journal.jsonl").exists()
    assert len(rows(run / "dialogues" / "both" / "dialogues.jsonl")) == 3


@pytest.mark.usefixtures("quickly")
def test_a_run_that_was_stopped_asks_for_the_rest_only(
    stages: dict[str, Any], teachers: Teachers, tmp_path: Path
) -> None:
    recipe = make_recipe(stages)
    told(recipe, tmp_path / "undisturbed")
    whole = len(teachers.backend.asked)
    answers = 0

    def stops(prompt: str) -> str:
        nonlocal answers
        answers += 1
        if answers == 7:
            raise RunFailed("the server is gone")
        return teach(prompt)

    teachers.backend = ScriptedBackend(stops)
    with pytest.raises(RunFailed, match="the server is gone"):
        told(recipe, tmp_path / "run")
    teachers.backend = ScriptedBackend(teach)
    told(recipe, tmp_path / "run")
    assert 0 < len(teachers.backend.asked) < whole
    made = Path("dialogues", "chat", "self-instruct", "dialogues.jsonl")
    assert (tmp_path / "run" / made).read_bytes() == (tmp_path / "undisturbed" / made).read_bytes()


@pytest.mark.usefixtures("quickly")
def test_a_parent_that_can_not_teach(stages: dict[str, Any], teachers: Teachers, tmp_path: Path) -> None:
    """It is found when it is asked, each time; nothing counts as made."""
    teachers.backend = ScriptedBackend(lambda prompt: "x y z")
    for _ in range(2):
        with pytest.raises(RunFailed, match=r"no dialogue was kept \(prompts \d+, "):
            told(make_recipe(stages), tmp_path / "run")
    assert not (tmp_path / "run" / "models" / "chat").exists()


@pytest.mark.usefixtures("quickly")
def test_questions_about_the_runs_own_corpus(
    stages: dict[str, Any], teachers: Teachers, tmp_path: Path
) -> None:
    stages["stage"][0]["self_instruct"] = {
        "questions": 3,
        "solutions": 1,
        "question": {"sources": [{"source": "corpus"}], "about_code": 4},
    }
    told(make_recipe(stages), tmp_path / "run")
    triplets = rows(tmp_path / "run" / "dialogues" / "chat" / "self-instruct" / "triplets.jsonl")
    assert {row["source"] for row in triplets} == {"corpus"}
    assert all(row["seed"]["license"] == "MIT" for row in triplets)
    assert not (tmp_path / "run" / "dialogues" / "chat" / "self-instruct" / "code-0").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"self_instruct": {"teacher": {"stage": "bas"}}},
            r"stage\[0\].self_instruct.teacher.stage: no stage before this one is called 'bas'; did you mean 'base'",
        ),
        ({"self_instruct": {"teacher": {"stage": "chat"}}}, "no stage before this one is called 'chat'"),
        ({"self_instruct": {"teacher": {"endpoint": "http://x"}}}, "must name either a model or a stage"),
        ({"self_instruct": {"teacher": {"stage": "code", "endpoint": "u"}}}, "an endpoint needs a model"),
        (
            {"self_instruct": {"question": {"bach": 3}}},
            r"self_instruct.question.bach: unknown key; .*'batch'",
        ),
        (
            {"self_instruct": {"solution": 3}},
            r"self_instruct.solution: unknown key; did you mean 'solutions'",
        ),
        ({"dialogues": "mined"}, r"stage\[0\].self_instruct: is not used"),
    ],
)
def test_settings_that_make_no_sense(stages: dict[str, Any], change: dict[str, Any], message: str) -> None:
    stages["stage"][0] |= change
    with pytest.raises(UserError, match=message):
        make_recipe(stages)


def test_a_base_from_scratch_has_learnt_nothing(stages: dict[str, Any]) -> None:
    stages |= {"base": "tiny", "tokenizer": {"vocabulary": 320}}
    with pytest.raises(
        UserError, match=r"stage\[0\].dialogues: the base is made from scratch, so it has learnt"
    ):
        make_recipe(stages)


def test_a_default_that_no_stage_uses(data: dict[str, Any]) -> None:
    with pytest.raises(
        UserError, match="self_instruct: is not used: no stage has the dialogues 'self-instruct'"
    ):
        make_recipe({**data, "self_instruct": {"questions": 5}})


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"teacher": "absent/"}, r"absent/: stage\[0\].self_instruct: is no folder"),
        ({"prompts": "absent"}, "absent"),
        ({"question": {"topics": "absent.txt"}}, "absent.txt"),
        ({"question": {"sources": [{"source": "file", "path": "absent.txt"}]}}, "absent.txt"),
        (
            {"question": {"sources": [{"source": "corpus", "path": "absent"}]}},
            "self_instruct: there is no absent",
        ),
    ],
)
def test_what_is_missing_is_said_before_the_run_begins(
    stages: dict[str, Any],
    table: dict[str, Any],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    stages["stage"][0]["self_instruct"] = table
    with pytest.raises(UserError, match=message):
        run_cascade(make_recipe(stages), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_defaults_of_the_recipe_and_of_the_stage(stages: dict[str, Any]) -> None:
    stages["seed"] = 5
    stages["self_instruct"] = {"teacher": "llama", "questions": 9, "question": {"batch": 3, "shown": 1}}
    stages["stage"][0]["self_instruct"] = {
        "questions": 4,
        "teacher": {"stage": "base"},
        "question": {"batch": 2},
    }
    made = make_recipe(stages)["chat"].self_instruct
    assert made is not None
    assert (made.questions, made.seed, made.question.batch, made.question.shown) == (4, 5, 2, 1)
    assert made.teacher is not None
    assert (made.teacher.stage, made.teacher.model) == ("base", None)
    stages["stage"][0].pop("self_instruct")
    made = make_recipe(stages)["chat"].self_instruct
    assert made is not None and made.teacher is not None
    assert (made.questions, made.teacher.model) == (9, "llama")


def test_the_plan_counts_tokens_and_time(stages: dict[str, Any]) -> None:
    stages["stage"][0]["self_instruct"] = {
        "questions": 1000,
        "questions_from": {"model": "x", "endpoint": "http://x"},
    }
    (cost,) = make_plan(make_recipe(stages), device_flops=1e12).dialogues
    assert [each.teacher for each in cost.teachers] == ["x at http://x", "base"]
    assert cost.programs == 10_000
    assert 1.1e6 < cost.written < 1.6e6
    assert cost.seconds is None, "how fast a server is nobody knows"
    stages["stage"][0]["self_instruct"] = {"questions": 1000}
    plan = make_plan(make_recipe(stages), device_flops=1e12)
    assert plan.dialogues[0].seconds is not None and plan.dialogues[0].seconds > 0
    told_json = json.loads(plan_json(plan))["warnings"]
    assert any("self-instruct for chat, estimates: 1,000 questions by base" in text for text in told_json)
    assert any(
        "base has 512 positions, and what self-instruct asks of it needs" in text for text in plan.warnings
    )
    stages["stage"][0]["self_instruct"] = {
        "questions": 100,
        "question": {"sources": [{"source": "file", "path": "q.txt"}]},
    }
    (cost,) = make_plan(make_recipe(stages)).dialogues
    assert [each.teacher for each in cost.teachers] == ["base"]


@pytest.mark.usefixtures("quickly")
def test_dialogues_without_their_report_are_not_made_yet(
    stages: dict[str, Any], teachers: Teachers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> None:
        raise UserError("the disk is full")

    recipe = make_recipe(stages)
    with monkeypatch.context() as patched, pytest.raises(UserError, match="full"):
        patched.setattr(module, "write_self_instruct_report", full)
        told(recipe, tmp_path / "run")
    asked = len(teachers.backend.asked)
    told(recipe, tmp_path / "run")
    assert len(teachers.backend.asked) == asked
    assert {"datasheet.md", "report.md"} <= {path.name for path in (tmp_path / "run").rglob("*.md")}
