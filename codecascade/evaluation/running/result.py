"""The result of one benchmark, and the files that it is stored in."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, overload

from codecascade.evaluation.metrics import Metric, without_unasked
from codecascade.evaluation.rows import SampleRow
from codecascade.ground.diff import refuse_changes
from codecascade.ground.errors import UserError
from codecascade.ground.files.atomic import disk_errors, write_json
from codecascade.ground.files.reading import read_json

_EXAMPLES = 2_000
_DAMAGED = "is damaged; delete the evaluation's folder, or put the file back"


@dataclass(frozen=True)
class AnsweredProblem:
    """One problem and the first answer to it, for a reader."""

    task_id: str
    prompt: str
    completion: str
    correct: bool
    suffix: str = ""
    expected: str = ""


@dataclass(frozen=True)
class BenchmarkResult:
    """The figures of one benchmark on one model.

    Attributes:
        examples: the first sample of each task (in the first layout, if there are several), at most 2,000.
        notes: sentences to be shown beside the figures.
        seconds: wall-clock time over all runs that the benchmark took.
        about: how it was measured, for a reader of ``results.json``: ``title``, ``metric``, ``higher_is_better``,
            ``settings``, ``tasks`` (measured), ``tasks_total``, ``missing`` (tasks without a sample in a
            samples file), ``source``, ``licence``, ``tokens`` (generated), ``judge`` (what judged the answers),
            ``judge_prompt`` (the file with its prompt).
    """

    name: str
    metrics: dict[str, Metric]
    examples: list[AnsweredProblem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0
    about: dict[str, Any] = field(default_factory=dict)

    def save(self, folder: Path, *, made_with: SampleRow) -> None:
        """Write ``folder/<name>.json``. It is written after all other files of the benchmark."""
        content = {key: value for key, value in asdict(self).items() if key != "examples"}
        write_json(folder / f"{self.name}.json", {**content, "made_with": made_with})

    @classmethod
    def load(cls, folder: Path, name: str, *, made_with: SampleRow, again: bool) -> BenchmarkResult | None:
        """Read what :meth:`save` wrote; None if there is no such file.

        Args:
            made_with: what the result must have been made with.
            again: a result that was made with something else is None, instead of an error.

        Raises:
            UserError: it was made with something else, or is damaged.
        """
        path = folder / f"{name}.json"
        if not path.exists():
            return None
        content = read_json(path)
        if not isinstance(content, dict) or not isinstance(content.get("made_with"), dict):
            raise UserError(_DAMAGED, file=path)
        before = content.pop("made_with")
        made_with = json.loads(json.dumps(made_with))
        if before != made_with:
            if again:
                return None
            refuse_changes(path, before, made_with)
        try:
            content["metrics"] = without_unasked(
                {key: Metric(**value) for key, value in content["metrics"].items()},
                (content.get("about") or {}).get("settings") or {},
            )
            return cls(examples=answered_problems(folder, name), **content)
        except (AttributeError, KeyError, TypeError):
            raise UserError(_DAMAGED, file=path) from None


def has_result(folder: Path, name: str, used: Mapping[str, Any]) -> bool:
    """Whether a folder has a benchmark's result that was made with these settings.

    It takes no model and no data to know that, so that those may be others by now.

    Args:
        used: the settings that concern the benchmark (:func:`.settings_used.used_settings`).
    """
    try:
        content = read_json(folder / f"{name}.json")
    except UserError:
        return False
    before = content.get("made_with") if isinstance(content, dict) else None
    return isinstance(before, dict) and json.loads(json.dumps(used)).items() <= before.items()


class StoredRows(Sequence[SampleRow]):
    """The rows of a file of JSON lines. Only their positions are in memory; a row is read when it is used."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._positions = array("q")
        position = 0
        with disk_errors(path), open(path, "rb") as file:
            for line in file:
                self._positions.append(position)
                position += len(line)

    def __len__(self) -> int:
        return len(self._positions)

    def __iter__(self) -> Iterator[SampleRow]:
        with open(self.path, "rb") as file:
            for number, line in enumerate(file, 1):
                yield self._row(line, number)

    @overload
    def __getitem__(self, index: int) -> SampleRow: ...
    @overload
    def __getitem__(self, index: slice) -> list[SampleRow]: ...
    def __getitem__(self, index: int | slice) -> SampleRow | list[SampleRow]:
        if isinstance(index, slice):
            return [self[line_index] for line_index in range(*index.indices(len(self)))]
        with open(self.path, "rb") as file:
            file.seek(self._positions[index])
            return self._row(file.readline(), index + 1)

    def _row(self, line: bytes, number: int) -> SampleRow:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            raise UserError(_DAMAGED, file=f"{self.path}:{number}")
        return row


def samples_file(folder: Path, name: str) -> Path:
    """The file with a row for each sample."""
    return folder / "samples" / f"{name}.jsonl"


def tasks_file(folder: Path, name: str) -> Path:
    """The file with a row for each task: what was asked."""
    return folder / "tasks" / f"{name}.jsonl"


def judge_prompt_file(folder: Path, name: str) -> Path:
    """The file with the prompt of a language model that judged the answers."""
    return folder / "judges" / f"{name}.txt"


def answered_problems(folder: Path, name: str) -> list[AnsweredProblem]:
    """The first answer to each task of a benchmark that is done; none if it scores texts and has no tasks."""
    if not tasks_file(folder, name).exists():
        return []
    found: list[AnsweredProblem] = []
    asked = StoredRows(tasks_file(folder, name))
    # The line of each task in its first layout. A task is removed when it has an example.
    first_of_task: dict[str, int] = {}
    for line_index, task in enumerate(asked):
        first_of_task.setdefault(task["task_id"], line_index)
    for row in StoredRows(samples_file(folder, name)):
        if row["task_id"] not in first_of_task:
            continue
        task = asked[first_of_task.pop(row["task_id"])]
        prompt = task.get("prompt") or "\n\n".join(each["content"] for each in task.get("messages", ()))
        passed = row.get("exact_match", row.get("passed"))
        found.append(
            AnsweredProblem(
                row["task_id"],
                prompt,
                row["completion"],
                bool(passed),
                task.get("suffix", ""),
                task.get("expected", ""),
            )
        )
        if len(found) == _EXAMPLES:
            break
    return found
