"""The judge ``file``: verdicts that somebody made elsewhere, by a person or by another tool.

The file has JSON lines: ``task_id``, ``sample`` (0 if it is missing), and a field for each aspect. If a line
has the ``completion`` too, it must be the one that was judged. ``judge`` may say who judged. A line whose aspects are
all null has no verdict. A file of samples whose verdicts were edited is such a file.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any, ClassVar

from codecascade.evaluation.data import read_records, require_field
from codecascade.evaluation.judges.judge import Aspect, ExpectedSample, JudgedAnswer, Judgement, Judging
from codecascade.evaluation.judges.settings import JudgeSettings
from codecascade.ground.errors import UserError
from codecascade.ground.files.atomic import content_digest
from codecascade.ground.files.paths import expanded
from codecascade.ground.format import counted, listed

_MOST_NAMED = 5


class VerdictFile:
    """See :class:`~codecascade.evaluation.judges.judge.Judge`."""

    reads: ClassVar[frozenset[str]] = frozenset({"verdicts"})

    def __init__(self, judging: Judging, settings: JudgeSettings) -> None:
        self._aspects = judging.aspects
        if settings.verdicts is None:
            raise UserError(
                "the judge 'file' needs a file of verdicts (JSON lines of task_id and "
                f"{', '.join(aspect.name for aspect in judging.aspects)})",
                key=f"{settings.key}.verdicts",
            )
        self._path = expanded(settings.verdicts)

    @property
    def label(self) -> str:
        who = sorted({row["judge"] for row in self._rows.values() if row.get("judge")})
        by = f" by {listed(who, _MOST_NAMED)}" if who else f" (digest {content_digest(self._path)})"
        return f"verdicts of a file{by}"

    def identity(self) -> dict[str, str]:
        self.check()
        return {"judge": self.label, "verdicts": content_digest(self._path)}

    def check(self) -> None:
        if not self._path.is_file():
            raise UserError("there is no such file of verdicts", file=self._path)
        _ = self._rows

    @cached_property
    def _rows(self) -> dict[tuple[str, int], dict[str, Any]]:
        """The verdicts by task and sample, without what is not needed."""
        found: dict[tuple[str, int], dict[str, Any]] = {}
        without: list[str] = []
        for location, row in read_records(self._path):
            task_id = str(require_field(row, "task_id", (str, int), location))
            sample = require_field({"sample": 0, **row}, "sample", int, location)
            key = task_id, sample
            if key in found:
                raise UserError(
                    f"a second verdict on {task_id}, sample {sample}", file=location, key="task_id"
                )
            if _has_none(row, self._aspects):
                without.append(location)
                continue
            found[key] = {aspect.name: _value(row, aspect, location) for aspect in self._aspects} | {
                "judge": str(row.get("judge") or ""),
                "completion": row.get("completion"),
                "location": location,
            }
        if not found:
            names = ", ".join(aspect.name for aspect in self._aspects)
            where = f" (in {counted(len(without), 'line')} {names} is null)" if without else ""
            raise UserError(f"holds no verdicts{where}", file=self._path)
        return found

    def expect(self, samples: Iterable[ExpectedSample], known: frozenset[str]) -> None:
        others = [task_id for task_id, _ in self._rows if task_id not in known]
        if others:
            raise UserError(
                f"has verdicts on {listed(list(dict.fromkeys(others)), _MOST_NAMED)}, which are no tasks of the "
                "benchmark; are they of other data?",
                file=self._path,
                key="task_id",
            )
        missing = [each for each in samples if (each.task_id, each.sample) not in self._rows]
        if missing:
            names = [f"{each.task_id} (sample {each.sample})" for each in missing]
            raise UserError(f"has no verdict on {listed(names, _MOST_NAMED)}", file=self._path)

    def judge(self, answers: Sequence[JudgedAnswer]) -> Iterator[tuple[int, Judgement]]:
        for answer in answers:
            row = self._rows.get((answer.task_id, answer.sample))
            if row is None:
                raise UserError(
                    f"has no verdict on {answer.task_id} (sample {answer.sample})", file=self._path
                )
            if row["completion"] is not None and row["completion"] != answer.answer:
                raise UserError(
                    f"the verdict is on another answer to {answer.task_id} than the one that is judged; judge the "
                    "samples of the file that the verdicts are about: --samples FILE",
                    file=row["location"],
                    key="completion",
                )
            values = {aspect.name: row[aspect.name] for aspect in self._aspects}
            yield answer.index, Judgement(values, row["judge"] and f"judged by {row['judge']}")

    def shown(self) -> str:
        return ""


def _has_none(row: dict[str, Any], aspects: Sequence[Aspect]) -> bool:
    """Whether a line says that there is no verdict: it was too long to be asked, or its judge was not understood."""
    return all(aspect.name in row and row[aspect.name] is None for aspect in aspects)


def _value(row: dict[str, Any], aspect: Aspect, location: str) -> bool | float:
    if aspect.kind == "bool":
        return bool(require_field(row, aspect.name, bool, location))
    value = float(require_field(row, aspect.name, (int, float), location))
    if not math.isfinite(value) or not aspect.low <= value <= aspect.high:
        raise UserError(
            f"must be from {aspect.low:g} to {aspect.high:g} (got {value:g})", file=location, key=aspect.name
        )
    return value
