"""The examples in docstrings say what happens."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

import codecascade

ROOT = Path(codecascade.__file__).parent
MODULES = sorted(
    ".".join(("codecascade", *path.relative_to(ROOT).with_suffix("").parts))
    for path in ROOT.rglob("*.py")
    if ">>> " in path.read_text(encoding="utf-8")
)
WITH_EXAMPLES = ("codecascade.corpus.", "codecascade.ground.")
"""Elsewhere the sign may stand in a program's text."""


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings(name: str) -> None:
    failed, tried = doctest.testmod(importlib.import_module(name))
    assert failed == 0
    assert tried or not name.startswith(WITH_EXAMPLES), f"doctest finds no example of {name}"
