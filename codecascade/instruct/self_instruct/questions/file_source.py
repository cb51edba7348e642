"""Questions from a file: one a line, a JSON list, or JSON lines. Its content says which, whatever its name is."""

from __future__ import annotations

import json
import keyword
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from codecascade.ground.errors import UserError
from codecascade.ground.files.json_lines import json_rows
from codecascade.ground.files.paths import expanded
from codecascade.ground.files.reading import parse_json, text_lines
from codecascade.ground.format import listed
from codecascade.instruct.self_instruct.questions.candidates import Candidate, SourceProgress
from codecascade.instruct.self_instruct.questions.cleaning import readable, why_no_question
from codecascade.instruct.self_instruct.questions.parsing import QUESTION_KEYS, without_mark

_TABLES = frozenset({".csv", ".tsv", ".parquet", ".xlsx", ".xls", ".arrow"})
_JSON_LINES = frozenset({".jsonl", ".ndjson"})
_BLANK = "\ufeff \t\r\n"
_OTHER_KEYS = ("topic", "difficulty", "entry_point")


class QuestionsOfFile:
    """See :class:`~codecascade.instruct.self_instruct.questions.candidates.CandidateSource`.

    The file's order is kept.

    Raises:
        UserError: the file is missing or holds no question, or a line is no question (file and line are named).
    """

    prompts = 0

    def __init__(self, path: str) -> None:
        self.title = f"questions of {path}"
        file = expanded(path)
        self._candidates = list(_read(file))
        if not self._candidates:
            raise UserError("holds no questions", file=file)
        self._read = 0

    @property
    def notes(self) -> tuple[str, ...]:
        return (f"all {self._read:,} of them were read",) if self._read == len(self._candidates) else ()

    def candidates(self, progress: SourceProgress) -> Iterator[Candidate]:
        for candidate in self._candidates:
            self._read += 1
            yield candidate


def _read(file: Path) -> Iterator[Candidate]:
    suffix = Path(file.name.lower().removesuffix(".gz")).suffix
    if suffix in _TABLES:
        raise UserError(
            f"is a table ({suffix}); write its questions into a text file, one a line, or into JSON lines with "
            "`question`",
            file=file,
        )
    following = text_lines(file)
    begin: list[str] = []
    for line in following:
        begin.append(line)
        if line.strip(_BLANK):
            break
    first = begin[-1] if begin else ""
    # A file that is called JSON lines may hold a list as well, which begins with a bracket.
    is_called_so = suffix in _JSON_LINES and not first.strip(_BLANK).startswith("[")
    if is_called_so or _is_object(first):
        return _of_rows(file, json_rows(chain(begin, following), file))
    lines = [*begin, *following]
    content = "".join(lines).removeprefix("\ufeff")
    if suffix == ".json" or suffix in _JSON_LINES or _is_list(content):
        return _of_rows(file, _json_rows(content, file))
    return _of_lines(lines, file)


def _is_object(line: str) -> bool:
    """Whether a line is a whole JSON object."""
    return isinstance(_json_or_none(line), dict)


def _is_list(content: str) -> bool:
    """Whether a text is a JSON list of texts and objects. ``[1]`` may be the number of a question."""
    found = _json_or_none(content)
    return isinstance(found, list) and bool(found) and all(isinstance(each, str | dict) for each in found)


def _json_or_none(text: str) -> Any:
    text = text.removeprefix("\ufeff").strip()
    if not text.startswith(("{", "[")):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _of_lines(lines: Iterable[str], file: Path) -> Iterator[Candidate]:
    for number, line in enumerate(lines, 1):
        text = without_mark(readable(line.removeprefix("\ufeff"))).strip()
        if text:
            yield _candidate(text, file, number)


def _json_rows(text: str, file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    content = parse_json(text, file)
    if not isinstance(content, list):
        raise UserError(f"must be a list of questions, not {type(content).__name__}", file=file)
    for number, entry in enumerate(content, 1):
        if not isinstance(entry, str | dict):
            raise UserError(
                f"must be a text or an object, not {type(entry).__name__}", file=file, key=f"[{number - 1}]"
            )
        yield number, {QUESTION_KEYS[0]: entry} if isinstance(entry, str) else entry


def _of_rows(file: Path, rows: Iterator[tuple[int, dict[str, Any]]]) -> Iterator[Candidate]:
    for number, row in rows:
        place = f"{file}:{number}"
        key = next((key for key in QUESTION_KEYS if key in row), None)
        if key is None:
            keys = listed(list(row)) or "it has none"
            raise UserError(
                f"holds no question: of its keys ({keys}) none is {', '.join(QUESTION_KEYS[:-1])} or "
                f"{QUESTION_KEYS[-1]}",
                file=place,
            )
        text = readable(_text(row, key, place)).strip()
        if not text:
            raise UserError("is empty", file=place, key=key)
        known = {other: _text(row, other, place) for other in _OTHER_KEYS if row.get(other) is not None}
        entry_point = known.get("entry_point", "")
        if entry_point and (not entry_point.isidentifier() or keyword.iskeyword(entry_point)):
            raise UserError(
                f"must be the name of a function (got {entry_point[:100]!r})", file=place, key="entry_point"
            )
        yield _candidate(text, file, number, **known)


def _text(row: dict[str, Any], key: str, place: str) -> str:
    if not isinstance(row[key], str):
        raise UserError(f"must be a text, not {type(row[key]).__name__}", file=place, key=key)
    return str(row[key])


def _candidate(text: str, file: Path, line: int, **known: str) -> Candidate:
    seed = {"path": file.name, "line": str(line)}
    return Candidate(text, "file", seed=seed, problem=why_no_question(text) or "", **known)
