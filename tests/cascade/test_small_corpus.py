"""A run on little code says what can still be measured."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from codecascade.cascade.run_corpus import build_run_corpus
from codecascade.cascade.run_folder import RunFolder
from codecascade.recipe import make_recipe


def test_a_run_on_little_code_says_what_can_be_measured(
    sources: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stage = {"name": "code", "kind": "code", "parent": "base", "steps": 1}
    recipe = make_recipe(
        {"name": "small", "base": "tiny", "corpus": [str(sources / "alpha")], "stage": [stage]}
    )
    with caplog.at_level(logging.WARNING):
        build_run_corpus(recipe, RunFolder(tmp_path / "run"), lambda step, done, total: None)
    (said,) = [record.getMessage() for record in caplog.records if "held out" in record.getMessage()]
    assert "of code, of which 1 file" in said and "gaps of infilling_heldout at most" in said
