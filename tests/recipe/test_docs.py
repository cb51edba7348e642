"""docs/recipes.md names every key."""

from __future__ import annotations

from pathlib import Path

import pytest

from codecascade.recipe.bases import BaseSettings, TokenizerSettings
from codecascade.recipe.compare import ComparedFigure, CompareSettings
from codecascade.recipe.settings import Recipe, Stage
from codecascade.training.stream.settings import InfillingSettings, MixtureItem

TEXT = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text(encoding="utf-8")
KEYS = {
    key
    for model in (
        Recipe,
        Stage,
        BaseSettings,
        CompareSettings,
        ComparedFigure,
        TokenizerSettings,
        InfillingSettings,
        MixtureItem,
    )
    for key in model.model_fields
}


@pytest.mark.parametrize("key", sorted(KEYS - {"stage", "evaluate", "infilling", "mixture"}))
def test_key_is_documented(key: str) -> None:
    assert any(form in TEXT for form in (f"`{key}", f".{key}`", f"[{key}]`", f"`[{key}", f"`[[{key}"))
