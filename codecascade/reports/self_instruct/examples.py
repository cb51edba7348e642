"""Which triplets and questions a report shows, and how."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from codecascade.ground.errors import printable
from codecascade.ground.files.json_lines import read_jsonl
from codecascade.ground.seeds import draw
from codecascade.instruct.self_instruct.pipeline import QUESTIONS, TRIPLETS
from codecascade.reports.markdown import fence_for

KEPT, FALLEN, LEFT = 6, 3, 4
"""Examples of what was kept; of each reason why triplets fell out; of each reason why questions left before."""
LONGEST = 3_000
"""Characters of a text that are shown."""


def triplet_examples(folder: Path) -> tuple[list[dict[str, Any]], dict[str, list[dict[str, Any]]]]:
    """Some triplets that were kept, and some of each reason why others fell out; drawn by their ids.

    Raises:
        UserError: ``triplets.jsonl`` is missing or damaged.
    """
    chosen: dict[str, list[tuple[int, str, dict[str, Any]]]] = {}
    for _, row in read_jsonl(folder / TRIPLETS):
        reason = "" if row.get("kept") else str(row.get("reason"))
        _offer(chosen.setdefault(reason, []), row, KEPT if not reason else FALLEN)
    found = {
        reason: [_triplet(row) for *_, row in sorted(rows, key=_order)] for reason, rows in chosen.items()
    }
    return found.pop("", []), found


def question_examples(folder: Path) -> dict[str, list[tuple[str, str]]]:
    """``(question, detail)`` of some questions that left before they got tests, by reason.

    Raises:
        UserError: ``questions.jsonl`` is missing or damaged.
    """
    chosen: dict[str, list[tuple[int, str, dict[str, Any]]]] = {}
    for _, row in read_jsonl(folder / QUESTIONS):
        if "dropped" in row:
            _offer(chosen.setdefault(str(row["dropped"]), []), {**row, "id": row.get("text", "")}, LEFT)
    return {
        reason: [(shown(row["text"]), shown(row.get("detail") or "")) for *_, row in sorted(rows, key=_order)]
        for reason, rows in chosen.items()
    }


def licences_of_seeds(folder: Path) -> dict[str, int]:
    """How many kept triplets are about code under which licence."""
    counts: dict[str, int] = {}
    for _, row in read_jsonl(folder / TRIPLETS):
        if row.get("kept") and (licence := (row.get("seed") or {}).get("license")):
            counts[licence] = counts.get(licence, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: -item[1]))


def shown(text: str) -> str:
    """A text that a model wrote, without characters that would change the page, and not longer than a page."""
    text = printable(text)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."


def _offer(rows: list[tuple[int, str, dict[str, Any]]], row: dict[str, Any], most: int) -> None:
    item = (-draw("example", row["id"], separator="\0"), str(row["id"]), row)
    if len(rows) < most:
        heapq.heappush(rows, item)
    elif item[:2] > rows[0][:2]:
        heapq.heapreplace(rows, item)


def _order(item: tuple[int, str, dict[str, Any]]) -> tuple[int, str]:
    return -item[0], item[1]


def _triplet(row: dict[str, Any]) -> dict[str, Any]:
    tests = [shown(test) for test in row["tests"]]
    code = shown(row["solution"] or _best(row))
    return {
        "question": shown(row["question"]),
        "about": shown(", ".join(str(row[key]) for key in ("topic", "difficulty", "source") if row.get(key))),
        "tests": list(_marked(row, tests)),
        "code": code,
        "is_kept": row["kept"],
        "detail": shown(row["detail"] or ""),
        "passed": sum(_passes(row, solution) for solution in row["solutions"]),
        "solutions": len(row["solutions"]),
        "fence": fence_for([*tests, code, row["question"], row["detail"] or ""]),
    }


def _marked(row: dict[str, Any], tests: list[str]) -> Iterator[tuple[str, str]]:
    """``(test, remark)``: which test was shown, which say nothing, which the kept solution fails."""
    for number, test in enumerate(tests):
        remarks = ["shown to the model"] if number == row["shown_test"] else []
        remarks += ["says nothing"] if number in row["vacuous_tests"] else []
        if row["kept"] and number not in row["kept_tests"] and number not in row["vacuous_tests"]:
            remarks.append("the kept solution fails it")
        yield test, ", ".join(remarks)


def _passes(row: dict[str, Any], solution: dict[str, Any]) -> bool:
    return bool(solution["verdicts"]) and all(verdict == "passed" for verdict in solution["verdicts"])


def _best(row: dict[str, Any]) -> str:
    """The solution that passes most tests, of those that hold a program."""
    found = [each for each in row["solutions"] if each["code"]]
    return max(found, key=lambda each: each["verdicts"].count("passed"))["code"] if found else ""
