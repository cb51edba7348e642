"""Recipes by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from codecascade.ground.errors import UserError
from codecascade.recipe import read_recipe, recipe_names
from codecascade.recipe.corpus_recipe import read_corpus_recipe
from codecascade.recipe.named import FOLDER, recipe_file


def test_every_recipe_of_the_package_has_a_name_and_can_be_read() -> None:
    found = [path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.toml")]
    assert recipe_names() == sorted(name.removesuffix(".toml") for name in found)
    assert "studies/infilling-cost" in recipe_names()
    assert {"quickstart", "your-code", "code-llama-7b"} <= set(recipe_names())
    for name in recipe_names():
        assert read_recipe(name) == read_recipe(FOLDER / f"{name}.toml")


def test_a_name_means_the_recipe_wherever_one_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "smoke").mkdir()
    assert recipe_file("smoke") == FOLDER / "smoke.toml"
    assert read_corpus_recipe(Path("quickstart")).corpus_build == read_recipe("quickstart").corpus_build


def test_a_file_wins_over_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "smoke").write_text(
        (FOLDER / "quickstart.toml").read_text(encoding="utf-8"), encoding="utf-8"
    )
    assert read_recipe("smoke") == read_recipe("quickstart")


@pytest.mark.parametrize(
    ("given", "nearest"),
    [
        ("quickstrat", "quickstart"),
        ("code-llama-7", "code-llama-7b"),
        ("smol", "smoke"),
        ("studies/infiling-cost", "studies/infilling-cost"),
    ],
)
def test_an_unknown_name_lists_the_names_nearest_first(given: str, nearest: str) -> None:
    with pytest.raises(UserError) as raised:
        read_recipe(given)
    message = str(raised.value)
    assert message.startswith(f"{given}: ") and f"recipes are {nearest}, " in message
    assert all(name in message for name in recipe_names())


@pytest.mark.parametrize("given", ["quickstart.toml", "recipes/quickstart.toml", "mine.toml", "./quickstart"])
def test_a_path_stays_a_path(given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="there is no such file") as raised:
        read_recipe(given)
    assert ("called quickstart" in str(raised.value)) == ("quickstart" in given)
