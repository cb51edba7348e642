"""Runs of a cascade in which a scripted teacher makes the dialogues."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from question_teacher import ScriptedBackend, teach
from rich.console import Console

from codecascade.cascade.run import run_cascade
from codecascade.recipe import Recipe

SMALL = {"batch_tokens": 512, "sequence_length": 512, "micro_batch_rows": 2, "learning_rate": 3e-3}
CHAT: dict[str, Any] = {
    "name": "chat",
    "kind": "instruct",
    "parent": "base",
    "steps": 1,
    "dialogues": "self-instruct",
    "self_instruct": {"questions": 6, "solutions": 2, "question": {"batch": 4}},
    **SMALL,
}


class Teachers:
    """Opens one teacher for all, and remembers who was to be opened."""

    def __init__(self) -> None:
        self.backend = ScriptedBackend(teach)
        self.opened: list[tuple[str, str]] = []

    def __call__(self, teacher: Any, model: str, *rest: object) -> ScriptedBackend:
        self.opened.append((teacher.in_words, model))
        return self.backend


def told(recipe: Recipe, folder: Path) -> str:
    """Run a recipe; what it says."""
    console = Console(file=open(os.devnull, "w"), record=True, width=200)  # noqa: SIM115
    run_cascade(recipe, folder, console=console)
    return console.export_text()


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]
