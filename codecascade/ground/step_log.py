"""Reads the log of a training run: one JSON object a step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def read_step_log(log: Path) -> list[dict[str, Any]]:
    """The rows of a log; damaged lines are skipped."""
    return [json.loads(line) for line in log_lines(log) if step_number(line) < float("inf")]


def log_lines(log: Path) -> list[str]:
    """The lines of a log, with their ends. No other sign ends one: the name of a document may hold U+2028."""
    with open(log, encoding="utf-8", errors="replace", newline="\n") as file:
        return list(file)


def step_number(line: str) -> float:
    """The step of a line; infinite for a damaged line, such as the incomplete last line of a killed process."""
    try:
        row: Any = json.loads(line)
        return int(row["step"]) if line.endswith("\n") else float("inf")
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return float("inf")
