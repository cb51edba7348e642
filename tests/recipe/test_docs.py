"""docs/recipes.md names every key."""

from __future__ import annotations

from pathlib import Path

import pytest

from codecascade.recipe.settings import Recipe, Stage, TokenizerSettings
from codecascade.training.stream.settings import InfillingSettings, MixtureItem

TEXT = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text(encoding="utf-8")
KEYS = {
    key
    for model in (Recipe, Stage, TokenizerSettings, InfillingSettings, MixtureItem)
    for key in model.model_fields
}


@pytest.mark.parametrize("key", sorted(KEYS - {"stage", "evaluate", "infilling", "mixture"}))
def test_key_is_documented(key: str) -> None:
    assert f"`{key}" in TEXT or f".{key}`" in TEXT or f"[{key}]`" in TEXT
