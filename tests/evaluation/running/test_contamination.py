from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codecascade.corpus.documents import document
from codecascade.evaluation.running.contamination import contamination
from codecascade.evaluation.running.work import task_rows
from codecascade.evaluation.task import ChatPrompt, InfillingPrompt, Message, Task, TextPrompt

SHOTS = "Here is a long introduction that every one of the prompts begins with, in the very same words. "
PROBLEM = "Write a function that finds the seventh smallest element of a list of lists of numbers."
SOLUTION = "def seventh(lists):\n    return sorted(number for each in lists for number in each)[6]\n"


@dataclass
class MemoryCorpus:
    texts: list[str]
    path: Path = Path("/somewhere/training")

    def documents(self, split: str, source: str) -> list[Any]:
        assert (split, source) == ("train", "code")
        return [
            document(text, path="a.py", repository="r", language="python", license="own", kind="code")
            for text in self.texts
        ]


def tasks() -> list[Task]:
    other = "Write a program that prints the names of all months which have got an even number of days."
    return [
        Task("a", TextPrompt(SHOTS + PROBLEM), 1, expected=SOLUTION),
        Task("b", TextPrompt(SHOTS + other), 1, expected="x = 1"),
    ]


def found(texts: list[str], of: list[Task] | None = None) -> Any:
    return contamination(task_rows(of or tasks()), MemoryCorpus(texts))


def test_a_problem_or_its_solution_in_a_document_is_found() -> None:
    assert found(["# " + PROBLEM.upper()])["tasks"] == ["a"]
    assert found(["import os\n\n" + SOLUTION.replace("\n", "\n\n") + "\nprint(1)\n"])["tasks"] == ["a"]
    result = found(["nothing that resembles any of it, however long this text may be", SHOTS])
    assert result == {"corpus": "training", "n": 50, "overlap": 0.5, "of": 2, "tasks": []}, (
        "shots count for nobody"
    )


def test_a_little_overlap_is_none_and_short_texts_are_not_looked_for() -> None:
    assert found([PROBLEM[: len(PROBLEM) // 2 + 20]])["tasks"] == []
    assert found(["x = 1"], [Task("c", TextPrompt("short"), 1)])["of"] == 0


def test_gaps_are_looked_for_whole_and_dialogues_by_their_last_message() -> None:
    lines = SOLUTION.split("\n")
    gap = Task("gap", InfillingPrompt(lines[0] + "\n", ""), 1, expected=lines[1])
    assert found([SOLUTION], [gap])["tasks"] == ["gap"]
    talk = Task("talk", ChatPrompt((Message("system", "x"), Message("user", PROBLEM))), 1)
    assert found([PROBLEM], [talk])["tasks"] == ["talk"]
