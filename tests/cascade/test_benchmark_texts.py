"""What corpora are kept free of: benchmarks that are here, files that are given, and what is said of the rest."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from codecascade.cascade import benchmark_texts as module
from codecascade.cascade.benchmark_texts import benchmark_texts, in_words
from codecascade.evaluation.data import BenchmarkData
from codecascade.ground.errors import UserError


def nowhere(name: str, data: BenchmarkData, given: Path | None) -> list[Path]:
    raise UserError("the hub can't be reached")


@pytest.fixture(autouse=True)
def nothing_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "locate_data", nowhere)
    monkeypatch.setattr(module, "is_available_offline", lambda data: False)


def test_what_is_not_here_is_said_once_for_each_data_set() -> None:
    found = benchmark_texts()
    assert not found.texts and not found.checked
    assert {"humaneval", "mbpp", "multipl_e", "apps", "gsm8k"} <= set(found.unchecked)
    assert not [name for name in found.unchecked if name.startswith(("lcc", "docstrings", "multipl_e_"))]
    # Two families of infilling benchmarks, with different data.
    assert {"infilling", "multilingual_infilling"} <= set(found.unchecked)
    assert len(set(found.unchecked)) == len(found.unchecked)
    assert in_words(found).startswith("not kept out, for their data is not here: ")


def test_what_is_here_or_can_be_fetched_is_kept_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "test-0.jsonl"
    file.write_text(
        json.dumps({"task_id": 11, "text": "Write it.", "code": "x = 1", "test_list": ["assert x"]})
    )
    asked = []

    def locate(name: str, data: BenchmarkData, given: Path | None) -> list[Path]:
        asked.append(name)
        return [file] if name.startswith("mbpp") else nowhere(name, data, given)

    monkeypatch.setattr(module, "locate_data", locate)
    found = benchmark_texts(in_use=["apps", "mbpp_zero_shot"])
    assert set(asked) == {"humaneval", "mbpp", "mbpp_zero_shot", "apps"}
    assert found.texts == {
        "mbpp/11/text": "Write it.",
        "mbpp/11/code": "x = 1",
        "mbpp/11/test_list": "assert x",
    }
    assert found.checked == ("mbpp",) and "mbpp" not in found.unchecked


def test_data_that_is_named_is_kept_out_wherever_it_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text(json.dumps({"question": "How many are left?", "answer": "#### 1"}))
    monkeypatch.setattr(
        module, "locate_data", lambda name, data, given: [given] if given else nowhere(name, data, given)
    )
    found = benchmark_texts(given={"gsm8k": file})
    assert "How many are left?" in found.texts.values()
    assert found.checked == ("gsm8k",) and "gsm8k" not in found.unchecked


def test_a_file_of_a_benchmarks_name_is_that_benchmark(tmp_path: Path) -> None:
    file = tmp_path / "sanitized-mbpp.json"
    file.write_text(json.dumps([{"task_id": 2, "prompt": "Write a function.", "code": "def f(): ..."}]))
    found = benchmark_texts([file])
    assert found.texts == {
        "sanitized-mbpp.json/2/prompt": "Write a function.",
        "sanitized-mbpp.json/2/code": "def f(): ...",
    }
    assert found.checked == ("sanitized-mbpp.json",) and "mbpp" not in found.unchecked
    with pytest.raises(UserError, match="no such file"):
        benchmark_texts([tmp_path / "gone.jsonl"])
