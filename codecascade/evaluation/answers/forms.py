"""Recognises samples files in the forms of other harnesses that are not read, so that the error can say so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from codecascade.ground.errors import UserError
from codecascade.ground.files.json_lines import read_jsonl
from codecascade.ground.files.reading import read_json

_WANTED = "samples are JSON lines of task_id and completion (or solution, a whole program)"


def check_form(path: Path) -> None:
    """Refuse a samples file in a known form that is not read.

    Raises:
        UserError: it is bigcode's ``generations.json``, a problem's file of MultiPL-E, or lm-eval's log of samples.
    """
    name = path.name.removesuffix(".gz")
    if name.endswith(".json"):
        form = _of_json(read_json(path))
    elif name.endswith((".jsonl", ".ndjson")):
        form = _of_row(next((row for _, row in read_jsonl(path)), None))
    else:
        return
    if form is not None:
        raise UserError(
            f"is {form}; {_WANTED}: docs/evaluation.md (Given samples) says how to convert it",
            file=path,
            key="--samples",
        )


def _of_json(value: Any) -> str | None:
    if isinstance(value, list) and value and all(isinstance(each, list) for each in value):
        return "a list of generations a problem, as bigcode-evaluation-harness writes it"
    if isinstance(value, dict) and isinstance(value.get("completions"), list):
        return "one problem's completions, as MultiPL-E writes them"
    if isinstance(value, dict) and isinstance(value.get("results"), list):
        return "one problem's results, as MultiPL-E writes them"
    return None


def _of_row(row: Any) -> str | None:
    if not isinstance(row, dict) or "task_id" in row:
        return None
    return "lm-eval's log of samples" if "doc" in row and "resps" in row else None
