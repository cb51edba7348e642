"""A run's folder in which something of the wrong type is in the way, and the precision of what is measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cascade_runs import model, of_gaps

from codecascade.cascade.measure import LazyGenerator, measuring_precision
from codecascade.cascade.run_folder import RunFolder, serve_hint
from codecascade.evaluation.benchmarks.table import BENCHMARKS
from codecascade.evaluation.running.result import BenchmarkResult
from codecascade.evaluation.running.settings_used import used_settings, version_of
from codecascade.ground.errors import UserError
from codecascade.recipe import BASE, Recipe, make_recipe

FOLDERS = [
    "corpus",
    "base",
    "checkpoints",
    "checkpoints/code",
    "dialogues",
    "dialogues/chat",
    "evaluations",
    "evaluations/base",
    "evaluations/python",
    "logs",
    "models",
    "models/long",
    "tensorboard",
    "tensorboard/code",
]
FILES = ["inputs.json", "results.json", "report.md", "report.html", "comparisons.json", "logs/code.jsonl"]


@pytest.fixture
def run(recipe: Recipe, tmp_path: Path) -> RunFolder:
    run = RunFolder(tmp_path / "run")
    run.write(recipe)
    return run


def in_the_way(run: RunFolder, name: str) -> Path:
    path = run.path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


@pytest.mark.parametrize("name", FOLDERS)
def test_a_file_where_a_folder_is_needed(run: RunFolder, recipe: Recipe, name: str) -> None:
    path = in_the_way(run, name)
    path.write_text("mine")
    with pytest.raises(UserError, match="is no folder, and a folder is needed here") as caught:
        run.adopt(recipe)
    assert caught.value.file == str(path)
    path.unlink()
    path.symlink_to(run.path / "nowhere")
    with pytest.raises(UserError, match="is no folder, and a folder is needed here"):
        run.adopt(recipe)
    path.unlink()
    path.mkdir()
    assert run.adopt(recipe) == recipe


@pytest.mark.parametrize("name", FILES)
def test_a_folder_where_a_file_is_needed(run: RunFolder, recipe: Recipe, name: str) -> None:
    path = in_the_way(run, name)
    path.mkdir()
    with pytest.raises(UserError, match="is a folder, and a file is needed here") as caught:
        run.adopt(recipe)
    assert caught.value.file == str(path)
    path.rmdir()
    path.write_text("")
    assert run.adopt(recipe) == recipe


def test_a_recipe_that_is_a_folder(recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / "run" / "recipe.toml").mkdir(parents=True)
    with pytest.raises(UserError, match=r"recipe\.toml: is a folder"):
        RunFolder(tmp_path / "run").adopt(recipe)


def test_a_run_that_compares_ends_with_its_comparisons(data: dict[str, Any], tmp_path: Path) -> None:
    block = {
        "name": "q",
        "question": "?",
        "groups": {"one": "base", "other": "code"},
        "figures": ["validation"],
    }
    plain, asking = make_recipe(data), make_recipe({**data, "compare": [block]})
    run = RunFolder(tmp_path / "run")
    run.write(asking)
    for name, settings in asking.measured.items():
        run.note_measured(name, settings)
    for path in run.reports:
        path.write_text("")
    assert not run.is_reported(asking, asking.stage)
    (run.path / "comparisons.json").write_text("[]")
    assert run.is_reported(asking, asking.stage)
    # another recipe's answers are removed with its report
    run.write(plain)
    assert not (run.path / "comparisons.json").exists()
    assert not run.is_reported(plain, plain.stage)


def with_precisions(data: dict[str, Any], *precisions: str) -> Recipe:
    stages = [stage | {"precision": value} for stage, value in zip(data["stage"], precisions, strict=True)]
    return make_recipe({**data, "stage": stages})


def test_a_model_is_measured_in_the_precision_of_its_stage(data: dict[str, Any]) -> None:
    recipe = with_precisions(data, "fp32", "bf16", "auto", "fp32")
    assert [measuring_precision(recipe, stage.name) for stage in recipe.stage] == [
        "fp32",
        "bf16",
        "auto",
        "fp32",
    ]
    assert measuring_precision(recipe, BASE) == "fp32", "as the one stage that starts from it"
    data["stage"][1]["parent"] = BASE
    assert measuring_precision(with_precisions(data, "fp32", "bf16", "auto", "fp32"), BASE) == "auto"


def test_the_generator_is_loaded_in_that_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []

    class Loaded:
        context_length = 7

    def load(name: str, *, precision: str) -> Loaded:
        asked.append((name, precision))
        return Loaded()

    monkeypatch.setattr("codecascade.cascade.measure.load_generator", load)
    generator = LazyGenerator("model", "fp32")
    assert not asked
    assert generator.context_length == 7
    assert asked == [("model", "fp32")]


def test_what_was_measured_by_other_settings_is_still_to_be_measured(
    run: RunFolder, data: dict[str, Any]
) -> None:
    """The same run is asked for more problems of one benchmark: the other's result stays."""
    asked = {
        "benchmarks": ["validation", "infilling_single_line"],
        "validation": {"documents": 4},
        "infilling": {"problems": 10},
    }
    data |= {"evaluate": asked}
    before = make_recipe(data)
    settings = before.measured[BASE]
    for name in settings.benchmarks:
        benchmark = BENCHMARKS[name]
        made_with = {"model": "tiny", **used_settings(benchmark, settings), **version_of(benchmark)}
        BenchmarkResult(name, {}).save(run.evaluation(BASE), made_with=made_with)
    assert run.unmeasured(before, ())[BASE].benchmarks == ()
    data |= {"evaluate": {**asked, "infilling": {"problems": 20}}}
    assert run.unmeasured(make_recipe(data), ())[BASE].benchmarks == ("infilling_single_line",)
    data |= {"evaluate": {**asked, "seed": 1}}
    assert run.unmeasured(make_recipe(data), ())[BASE].benchmarks == ("validation", "infilling_single_line")


def test_what_was_measured_by_an_earlier_version_is_measured_again(
    run: RunFolder, data: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = make_recipe({**data, "evaluate": {"benchmarks": ["validation", "infilling_single_line"]}})
    settings = recipe.measured[BASE]
    for name in settings.benchmarks:
        benchmark = BENCHMARKS[name]
        made_with = {"model": "tiny", **used_settings(benchmark, settings), **version_of(benchmark)}
        BenchmarkResult(name, {}).save(run.evaluation(BASE), made_with=made_with)
    run.note_measured(BASE, settings)
    assert BASE not in run.unmeasured(recipe, ())
    changed = replace(BENCHMARKS["validation"], version=2)
    monkeypatch.setitem(BENCHMARKS, "validation", changed)
    assert run.unmeasured(recipe, ())[BASE].benchmarks == ("validation",)
    made_with = {**used_settings(changed, settings), "version": 2}
    BenchmarkResult("validation", {}).save(run.evaluation(BASE), made_with=made_with)
    assert run.unmeasured(recipe, ())[BASE].benchmarks == ()
    run.note_measured(BASE, settings)
    assert BASE not in run.unmeasured(recipe, ())


def hint(folder: Path, recipe: Recipe, nats: dict[str, float]) -> list[str]:
    """The lines of the hint; of each model that was measured the nats of a gap."""
    for name, of_gap in nats.items():
        model(folder, name, {"infilling_heldout": of_gaps("psm", range(5), of_gap)})
    return serve_hint(recipe, [stage.name for stage in recipe.stage], RunFolder(folder)).split("\n")


def test_the_last_stage_is_named_where_the_report_names_none(recipe: Recipe, tmp_path: Path) -> None:
    last = f"{tmp_path}/models/chat"
    for nats in ({}, {"code": 8.0}, {"base": 9.0, "code": 8.0, "chat": 7.0}):
        assert hint(tmp_path, recipe, nats) == [
            f"To talk to the model: codecascade chat {last}",
            f"To try it in the browser or an editor: codecascade serve {last}",
        ]
    assert serve_hint(recipe, ["code"], RunFolder(tmp_path / "a b")).endswith(
        f"codecascade serve '{tmp_path}/a b/models/code'"
    )


def test_the_stage_that_the_report_names_is_served_and_the_chat_model_talks(
    recipe: Recipe, data: dict[str, Any], tmp_path: Path
) -> None:
    nats = {"base": 9.0, "code": 7.0, "chat": 8.0}
    served = (
        "To try code, the best stage by the report, in the browser or an editor: codecascade serve "
        f"{tmp_path}/models/code"
    )
    assert hint(tmp_path, recipe, nats) == [
        f"To talk to chat: codecascade chat {tmp_path}/models/chat",
        served,
    ]
    # without a chat model nothing is said of talking
    del data["stage"][3]
    assert hint(tmp_path, make_recipe(data), nats) == [served]
    # a study advises nothing
    block = {
        "name": "q",
        "question": "?",
        "groups": {"one": "base", "other": "code"},
        "figures": ["validation"],
    }
    studied = make_recipe({**data, "compare": [block]})
    assert hint(tmp_path, studied, nats)[-1].endswith("models/long")
