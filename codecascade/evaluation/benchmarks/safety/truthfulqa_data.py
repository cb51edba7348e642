"""TruthfulQA's questions and its six worked examples.

Three public forms are read: ``TruthfulQA.csv`` of its repository (817 questions, or the later revision of 790),
the hub's ``generation`` split with the same columns in lower case, and the multiple-choice targets
(``mc_task.json``, or the hub's ``multiple_choice`` split).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from codecascade.evaluation.data import BenchmarkData, Record, load_records, read_records, require_field
from codecascade.ground.errors import UserError
from codecascade.ground.files.paths import expanded

_LICENCE = "Apache-2.0"
DATA = BenchmarkData(
    files=("TruthfulQA*.csv", "truthfulqa*.csv", "generation/*.parquet", "truthfulqa*.jsonl*"),
    licence=_LICENCE,
    hub="truthfulqa/truthful_qa",
    hub_files=("generation/validation-*.parquet",),
)
CHOICES = BenchmarkData(
    files=("mc_task*.json", "multiple_choice/*.parquet", "TruthfulQA*.csv", "truthfulqa*.csv"),
    licence=_LICENCE,
    hub="truthfulqa/truthful_qa",
    hub_files=("multiple_choice/validation-*.parquet",),
)
_SEPARATOR = ";"
_EXAMPLES = "truthfulqa_examples.jsonl"


Shots = Annotated[int, Field(ge=0, le=64, description="worked examples that are shown")]
Examples = Annotated[
    str | None,
    Field(description="JSON lines of question and answer to show instead of the data set's own six examples"),
]
"""Two settings that both benchmarks have."""


@dataclass(frozen=True)
class Question:
    """A question with its reference answers."""

    question: str
    best: str
    right: tuple[str, ...]
    wrong: tuple[str, ...]
    category: str = ""


@dataclass(frozen=True)
class Choices:
    """A question in multiple choice.

    Attributes:
        one: answers of which the first alone is right (MC1).
        right, wrong: all reference answers (MC2).
    """

    question: str
    one: tuple[str, ...]
    right: tuple[str, ...]
    wrong: tuple[str, ...]


def questions(given: Path | None) -> list[Question]:
    """The questions, in the order of the file.

    Raises:
        UserError: the data was not found, or a column is missing.
    """
    return [_question(location, row) for location, row in load_records("truthfulqa", DATA, given, {})]


def choices(given: Path | None) -> list[Choices]:
    """The questions in multiple choice. Of a CSV file they are made as TruthfulQA's own code makes them.

    Raises:
        UserError: the data was not found, or a record is malformed.
    """
    return [_choices(location, row) for location, row in load_records("truthfulqa_mc", CHOICES, given, {})]


def worked_examples(given: str | None, count: int, key: str) -> list[tuple[str, str]]:
    """The first ``count`` worked examples: the data set's own six, or those of a ``given`` JSON lines file.

    Raises:
        UserError: the file is malformed, or has too few examples.
    """
    if given is None:
        folder = resources.files("codecascade.evaluation.benchmarks.safety")
        with resources.as_file(folder / _EXAMPLES) as path:
            rows = list(read_records(path, required={"question": str, "answer": str}))
    else:
        rows = list(read_records(expanded(given), required={"question": str, "answer": str}))
    if len(rows) < count:
        raise UserError(
            f"has {len(rows)} examples, fewer than the {count} that are to be shown", file=given, key=key
        )
    return [(row["question"], row["answer"]) for _, row in rows[:count]]


def sentence(answer: str) -> str:
    """An answer with a full stop at its end, as TruthfulQA's code compares answers."""
    stripped = answer.strip()
    return stripped if not stripped or stripped.endswith((".", "!", "?")) else f"{stripped}."


def _question(location: str, row: dict[str, Any]) -> Question:
    plain = {str(name).strip().lower().replace(" ", "_"): value for name, value in row.items()}
    # The names as the file has them, for errors.
    capital = {
        "question": "Question",
        "correct_answers": "Correct Answers",
        "incorrect_answers": "Incorrect Answers",
    }
    is_csv = "Question" in row or "question" not in row

    def column(name: str, kind: type | tuple[type, ...]) -> Any:
        return (
            require_field(plain, name, kind, location)
            if name in plain
            else _missing(location, capital, name, is_csv)
        )

    question = str(column("question", str)).strip()
    right = _answers(column("correct_answers", (str, list)))
    wrong = _answers(column("incorrect_answers", (str, list)))
    for name, found in (("question", question), ("correct_answers", right), ("incorrect_answers", wrong)):
        if not found:
            raise UserError("is empty", file=location, key=capital[name] if is_csv else name)
    best = str(plain.get("best_answer") or "").strip() or right[0]
    return Question(question, sentence(best), right, wrong, str(plain.get("category") or ""))


def _missing(location: str, capital: Mapping[str, str], name: str, is_csv: bool) -> Any:
    raise UserError(
        "the column is missing; TruthfulQA.csv has Question, Best Answer, Correct Answers and Incorrect Answers",
        file=location,
        key=capital[name] if is_csv else name,
    )


def _answers(value: str | list[Any]) -> tuple[str, ...]:
    """The answers of a cell, separated by semicolons, or of a list; each once, as sentences."""
    parts = value.split(_SEPARATOR) if isinstance(value, str) else [str(part) for part in value]
    return tuple(dict.fromkeys(sentence(part) for part in parts if part.strip()))


def _choices(location: str, row: dict[str, Any]) -> Choices:
    if "mc1_targets" not in row and "mc2_targets" not in row:
        found = _question(location, row)
        right = tuple(dict.fromkeys((found.best, *found.right)))
        return Choices(found.question, (found.best, *found.wrong), right, found.wrong)
    question = require_field(row, "question", str, location)
    first_right, first_wrong = _targets(row, "mc1_targets", location)
    right, wrong = _targets(row, "mc2_targets", location)
    if len(first_right) != 1:
        raise UserError(
            f"must have one right answer, not {len(first_right)}", file=location, key="mc1_targets"
        )
    return Choices(question, (*first_right, *first_wrong), right, wrong)


def _targets(
    row: Record | dict[str, Any], key: str, location: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The right and the wrong answers of ``{answer: 1 or 0}``, or of ``{"choices": [...], "labels": [...]}``."""
    assert isinstance(row, dict)
    value = require_field(row, key, dict, location)
    if set(value) == {"choices", "labels"}:
        pairs = list(zip(value["choices"], value["labels"], strict=False))
        if len(value["choices"]) != len(value["labels"]):
            raise UserError("has another number of labels than of choices", file=location, key=key)
    else:
        pairs = list(value.items())
    if any(not isinstance(answer, str) or label not in (0, 1) for answer, label in pairs):
        raise UserError("must have an answer and 0 or 1 for each", file=location, key=key)
    right = tuple(answer for answer, label in pairs if label)
    wrong = tuple(answer for answer, label in pairs if not label)
    if not right or not wrong:
        raise UserError("must have right and wrong answers", file=location, key=key)
    return right, wrong
