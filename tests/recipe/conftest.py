"""The file of a small recipe."""

from __future__ import annotations

from pathlib import Path

import pytest
from trial_recipe import RECIPE


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    path = tmp_path / "x.toml"
    path.write_text(RECIPE)
    return path
