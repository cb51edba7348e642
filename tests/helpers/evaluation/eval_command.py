"""``codecascade eval`` on four small problems in HumanEval's form, and some samples of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from codecascade import cli
from codecascade.ground.files.json_lines import write_jsonl

SAMPLES = ["--samples", "samples.jsonl", "--data", "HumanEval.jsonl", "-o", "out"]
PROBLEMS = [
    {
        "task_id": f"HumanEval/{number}",
        "prompt": f'def add_{number}(a):\n    """Add {number}."""\n',
        "entry_point": f"add_{number}",
        "canonical_solution": f"    return a + {number}\n",
        "test": f"def check(candidate):\n    assert candidate(1) == {number + 1}\n",
    }
    for number in range(4)
]


def write_problems() -> None:
    """HumanEval's file, and samples: of three tasks, one of them wrong; in the current folder."""
    write_jsonl("HumanEval.jsonl", PROBLEMS)
    write_jsonl(
        "samples.jsonl",
        [
            {
                "task_id": "HumanEval/2",
                "completion": "    return a + 2\n",
                "mine": [1],
                "tokens": ["a"],
                "stderr": "old",
            },
            {
                "task_id": "HumanEval/0",
                "completion": "    return a + 9\n",
                "passed": "unknown",
                "sample": "x",
            },
            {"task_id": "HumanEval/1", "completion": "    return b + 1\n"},
        ],
    )


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        cli.main(["eval", *arguments])
    out, err = capsys.readouterr()
    return int(end.value.code or 0), out, " ".join(err.split())


def rows(folder: str, name: str = "humaneval") -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(folder, "samples", f"{name}.jsonl").read_text().splitlines()]


def results(folder: str) -> Any:
    return json.loads(Path(folder, "results.json").read_text())
