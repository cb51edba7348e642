"""Other harnesses' files of samples are named, rather than missed by a key."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from codecascade.evaluation.answers.forms import check_form
from codecascade.ground.errors import UserError


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("generations.json", [["def f(): pass\n"], []], "bigcode-evaluation-harness"),
        ("HumanEval_1_f.json.gz", {"name": "HumanEval_1_f", "completions": ["x"]}, "MultiPL-E"),
        ("HumanEval_1_f.results.json.gz", {"name": "HumanEval_1_f", "results": [{}]}, "results"),
        ("samples.jsonl", {"doc_id": 0, "doc": {"task_id": "HumanEval/0"}, "resps": [["x"]]}, "lm-eval"),
        ("samples.jsonl.gz", {"doc_id": 0, "doc": {"task_id": "HumanEval/0"}, "resps": [["x"]]}, "lm-eval"),
    ],
)
def test_a_form_that_is_not_read_is_named(tmp_path: Path, name: str, value: Any, said: str) -> None:
    path = tmp_path / name
    data = json.dumps(value).encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    with pytest.raises(UserError, match=f"{said}.*task_id and completion") as found:
        check_form(path)
    assert found.value.file == str(path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("a.json", [{"task_id": "HumanEval/0", "completion": "x"}]),
        ("a.json", []),
        ("a.jsonl", {"task_id": "HumanEval/0", "completion": "x", "doc": 1, "resps": []}),
        ("a.jsonl", {}),
    ],
)
def test_others_are_left_to_who_reads_them(tmp_path: Path, name: str, value: Any) -> None:
    (tmp_path / name).write_text(json.dumps(value))
    check_form(tmp_path / name)
    (tmp_path / "empty.jsonl").write_text("")
    check_form(tmp_path / "empty.jsonl")
