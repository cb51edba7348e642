"""Pages of problems, whatever their texts hold, and however long these are."""

from __future__ import annotations

from pathlib import Path

import pytest
from evaluations import Page, sample, write_evaluation
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codecascade.reports.evaluation.report import write_evaluation_report


def page_of(folder: Path, task: dict[str, object], **more: object) -> Page:
    """The page of one problem."""
    row = sample("task", False) | more
    write_evaluation(folder, {"humaneval": [row]}, tasks={"humaneval": [{"task_id": "task", **task}]})
    write_evaluation_report(folder)
    return Page((folder / "problems" / "humaneval" / "001.html").read_text())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=10)
@given(st.text("\0 5a\n", max_size=9))
def test_a_prompt_may_begin_with_anything(tmp_path: Path, text: str) -> None:
    prompt = f"\0{text}"
    page = page_of(tmp_path, {"prompt": prompt})
    assert "Prompt" in page.text and "before these" not in page.text


def test_a_long_prompt_that_begins_with_nul_is_cut(tmp_path: Path) -> None:
    page = page_of(tmp_path, {"prompt": "\0x\0y\n" * 50})
    assert "11 lines before these" in page.text
    page = page_of(tmp_path, {"prompt": "a" * 24_000 + "\0b"})
    assert "2 characters before these" in page.text


LONG = "x" * 400_000


@pytest.mark.parametrize(
    "task",
    [
        {"prompt": LONG},
        {"prompt": "a", "suffix": LONG},
        {"prompt": "a", "suffix": f"{LONG}\n" * 3},
        {"prompt": "a", "expected": LONG, "test": LONG},
        {"prompt": "a", "field": LONG, LONG: 1},
        {"messages": [{"role": LONG, "content": LONG}] * 3},
        {"messages": [{"role": "user", "content": "a"}] * 9000},
        {"prompt": "a"} | {f"field{n}": n for n in range(9000)},
    ],
    ids=["prompt", "suffix", "suffixes", "texts", "fields", "messages", "many", "names"],
)
def test_a_page_has_a_bound(tmp_path: Path, task: dict[str, object]) -> None:
    page_of(tmp_path, task)
    assert (tmp_path / "problems" / "humaneval" / "001.html").stat().st_size < 120_000


@pytest.mark.parametrize("field", ["completion", "detail", "stderr", "task_id"])
def test_a_page_of_a_long_answer_has_a_bound(tmp_path: Path, field: str) -> None:
    page_of(tmp_path, {}, **{field: LONG})
    for name in ("001.html", "index.html"):
        assert (tmp_path / "problems" / "humaneval" / name).stat().st_size < 60_000
    assert (tmp_path / "report.html").stat().st_size < 60_000


def test_what_is_cut_is_said(tmp_path: Path) -> None:
    page = page_of(
        tmp_path,
        {"suffix": "a" * 6001, "messages": [{"role": "user", "content": "b" * 6001}] * 42},
        detail="c" * 6002,
    )
    assert "1 character after these" in page.text and "2 messages before these" in page.text
    assert "… (1 character more)" in page.text and "… (2 characters more)" in page.text
