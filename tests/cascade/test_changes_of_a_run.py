"""What may change in a run that has begun: stages that are not, and the place where its sources are."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any

import pytest

from codecascade.cascade.run_corpus import needs_sources
from codecascade.cascade.run_folder import RunFolder
from codecascade.cascade.work_ahead import look_ahead
from codecascade.corpus.build import build_corpus
from codecascade.ground.errors import UserError
from codecascade.ground.files.atomic import write_json
from codecascade.recipe import Recipe, make_recipe
from codecascade.recipe.reading import with_steps


@pytest.fixture
def run(recipe: Recipe, tmp_path: Path) -> RunFolder:
    run = RunFolder(tmp_path / "run")
    run.write(recipe)
    return run


@pytest.fixture
def other(data: dict[str, Any]) -> dict[str, Any]:
    return copy.deepcopy(data)


def test_a_stage_that_is_not_begun_may_change(run: RunFolder, other: dict[str, Any]) -> None:
    other["stage"][1]["mixture"] = [{"source": "code", "share": 1.0}]
    other["stage"][1]["steps"] = 7
    changed = make_recipe(other)
    assert run.adopt(changed) == changed
    del other["stage"][3]
    fewer = make_recipe(other)
    assert run.adopt(fewer) == fewer


@pytest.mark.parametrize("kind", ["models", "checkpoints", "evaluations", "logs"])
def test_a_stage_of_which_anything_is_there_may_not(
    run: RunFolder, other: dict[str, Any], kind: str, tmp_path: Path
) -> None:
    begun = run.path / kind / "python" if kind != "logs" else run.log("python")
    begun.parent.mkdir(exist_ok=True)
    begun.touch() if kind == "logs" else begun.mkdir()
    other["stage"][1]["steps"] = 7
    with pytest.raises(UserError, match=r"another recipe \(stage\.python\.steps 2, now 7\)"):
        run.adopt(make_recipe(other))
    del other["stage"][1]
    with pytest.raises(UserError, match=r"another recipe \(stage\[1\]: 'python' is missing"):
        run.adopt(make_recipe(other))


def test_a_stage_of_which_dialogues_are_there_may_be_trained_otherwise(
    run: RunFolder, other: dict[str, Any]
) -> None:
    """As a message about too short sequences advises, which comes when the dialogues are made."""
    (run.path / "dialogues" / "chat").mkdir(parents=True)
    chat = next(stage for stage in other["stage"] if stage["kind"] == "instruct")
    chat.update(steps=7, sequence_length=256)
    changed = make_recipe(other)
    assert run.adopt(changed) == changed
    chat["seed"] = 9
    with pytest.raises(UserError, match=r"another recipe \(stage\.chat\.seed 0, now 9\)"):
        run.adopt(make_recipe(other))


def test_what_a_stage_was_timed_for_goes_with_it(other: dict[str, Any], tmp_path: Path) -> None:
    other["stage"][1].update(minutes=2, steps=None)
    del other["stage"][1]["steps"]
    recipe, run = make_recipe(other), RunFolder(tmp_path / "run")
    run.write(with_steps(recipe, "python", 5))
    assert run.adopt(recipe)["python"].minutes == 2, "it is timed when it begins"
    run.checkpoints("python").mkdir(parents=True)
    assert (run.adopt(recipe)["python"].steps, run.adopt(recipe)["python"].timed_minutes) == (5, 2)


def test_a_tokenizer_that_is_not_trained_may_change(run: RunFolder, other: dict[str, Any]) -> None:
    other["tokenizer"]["vocabulary"] = 400
    changed = make_recipe(other)
    assert run.adopt(changed) == changed
    run.base("base").mkdir()
    with pytest.raises(UserError, match=r"tokenizer\.vocabulary 320, now 400"):
        run.adopt(changed)


def test_a_model_from_scratch_that_is_not_made_may_change(other: dict[str, Any], tmp_path: Path) -> None:
    other["bases"] = {"second": {"random_weights": True, "seed": 1}}
    run = RunFolder(tmp_path / "run")
    run.write(make_recipe(other))
    other["bases"]["second"]["seed"] = 2
    changed = make_recipe(other)
    assert run.adopt(changed) == changed
    run.base("second").mkdir(parents=True)
    with pytest.raises(UserError, match=r"bases\.second\.seed 1, now 2"):
        run.adopt(changed)


def test_a_corpus_that_the_run_has_read_stays_wherever_its_sources_are(
    sources: Path, data: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A project's folder is moved, or the run alone is copied to another machine."""
    place = tmp_path / "one"
    place.mkdir()
    shutil.copytree(sources, place / "src")
    recipe, run = make_recipe({**data, "corpus": "src"}), RunFolder(Path("run"))
    monkeypatch.chdir(place)
    build_corpus(recipe.corpus, run.corpus, recipe.corpus_build)
    assert not needs_sources(recipe, run)
    monkeypatch.chdir(tmp_path)
    moved = place.rename(tmp_path / "two")
    monkeypatch.chdir(moved)
    assert needs_sources(recipe, run), "nothing has read it yet, so it is built of what is here"
    write_json(run.inputs, {})
    assert not needs_sources(recipe, run)
    shutil.rmtree("src")
    run.write(recipe)
    assert look_ahead(recipe, run, until=None, devices=1, file=None).untrained
