"""JSON lines files: one JSON object a line, read line by line, written atomically, or appended to."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from codecascade.ground.files.atomic import atomic_write_parts, disk_errors
from codecascade.ground.files.reading import json_object, parse_json, text_lines


def read_jsonl(path: str | Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """``(line number, object)`` for each line of a JSON lines file, also ``.gz``; lines count from 1.

    Empty lines are skipped. A line may begin with a byte order mark, as Notepad, PowerShell and Excel write it.

    Raises:
        UserError: the file is missing, or a line is not a JSON object (file and line are named).
    """
    return json_rows(text_lines(path), path)


def json_rows(lines: Iterable[str], path: str | Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """:func:`read_jsonl` of lines that are read already; ``path`` is where they come from."""
    for number, line in enumerate(lines, 1):
        line = line.removeprefix("\ufeff")
        if line.strip():
            yield number, json_object(parse_json(line, f"{path}:{number}"), f"{path}:{number}")


def write_jsonl(path: str | Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write one JSON object a line, atomically; only one of ``rows`` is in memory at a time."""
    atomic_write_parts(path, (json_line(row) for row in rows))


def json_line(row: dict[str, Any]) -> bytes:
    """An object as one line of JSON. A lone surrogate, which a model can generate, is written as an escape."""
    try:
        return (json.dumps(row, ensure_ascii=False) + "\n").encode()
    except UnicodeEncodeError:
        return (json.dumps(row) + "\n").encode()


def checked_line(row: dict[str, Any]) -> bytes:
    """:func:`json_line` with a key ``crc``, the CRC-32 of the line without it."""
    return json_line({**row, "crc": zlib.crc32(json_line(row))})


def read_checked_line(line: bytes) -> dict[str, Any] | None:
    """The row that :func:`checked_line` wrote, without ``crc``; None if the line is incomplete or damaged."""
    row = read_line(line)
    return None if row is None or row.pop("crc", None) != zlib.crc32(json_line(row)) else row


def read_line(line: bytes) -> dict[str, Any] | None:
    """The JSON object of a complete line; None if the line is incomplete or is no JSON object."""
    try:
        value = json.loads(line) if line.endswith(b"\n") else None
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


class JsonlAppender:
    """Appends JSON objects to a file; each line is flushed at once, so that another process can follow the file."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        with disk_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # Closed by close.
            self._file = open(self.path, "a", encoding="utf-8")  # noqa: SIM115

    def write(self, row: dict[str, Any]) -> None:
        with disk_errors(self.path):
            self._file.write(json.dumps(row, ensure_ascii=False) + "\n")
            self._file.flush()

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> JsonlAppender:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
