"""Rows of JSON lines and Parquet files as candidates, under the column names that public data sets use.

A row without a repository is a repository of its own, so that hold-out goes row by row. Its language is the
one that it names, else the one of its path; a row that tells neither is taken as natural language.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from codecascade.corpus.candidates import Candidate, UnreadableError
from codecascade.corpus.documents import KINDS, Kind
from codecascade.corpus.dropped import Dropped
from codecascade.corpus.languages import kind_of, language_of
from codecascade.corpus.licenses import UNKNOWN
from codecascade.errors import UserError

COLUMNS = {
    "text": ("text", "content"),
    "path": ("path", "max_stars_repo_path", "file_path"),
    "repository": ("repository", "repo", "repo_name", "max_stars_repo_name"),
    "language": ("language", "lang"),
    "license": ("license", "licenses", "max_stars_repo_licenses"),
    "kind": ("kind",),
}
"""Our column, and the names that it is found under, best first."""


def json_lines(path: Path, dropped: Dropped) -> Iterator[Candidate]:
    """The objects of a JSON-lines file; a line that is none, or has no text, is counted and passed over."""
    stamp = str(os.stat(path).st_mtime_ns)
    with open(path, "rb") as file:
        start = 0
        for number, line in enumerate(file, 1):
            try:
                row = json.loads(line)
                text = _first(row, "text") if isinstance(row, dict) else None
            except (ValueError, RecursionError):
                text = None
            if isinstance(text, str):
                yield _candidate(
                    row,
                    f"{path.name}:{number}",
                    len(text.encode(errors="replace")),
                    stamp,
                    partial(_read_line, path, start),
                )
            elif line.strip():
                dropped.add("find", "row without text")
            start += len(line)


def parquet(path: Path, dropped: Dropped) -> Iterator[Candidate]:
    """The rows of a Parquet file.

    Raises:
        UserError: the file is broken, or has no column of text.
    """
    with _broken_file(path):
        schema = pq.read_schema(path)
    text_column = next((name for name in COLUMNS["text"] if name in schema.names), None)
    if text_column is None or not _holds_text(schema.field(text_column).type):
        raise UserError(f"has no column of text called {' or '.join(COLUMNS['text'])}", file=path)
    return _parquet_rows(path, text_column, dropped)


def _parquet_rows(path: Path, text_column: str, dropped: Dropped) -> Iterator[Candidate]:
    stamp = str(os.stat(path).st_mtime_ns)
    with _broken_file(path):
        reader = _ParquetText(path, text_column)
    wanted = [name for names in COLUMNS.values() for name in names if name in reader.file.schema_arrow.names]
    number = 0
    for group in range(reader.file.num_row_groups):
        with _broken_file(path):
            table = reader.file.read_row_group(group, columns=wanted)
        sizes = pc.binary_length(table.column(text_column)).to_pylist()
        for index, (size, row) in enumerate(zip(sizes, table.drop([text_column]).to_pylist(), strict=True)):
            number += 1
            if size is None:
                dropped.add("find", "row without text")
            else:
                read = partial(reader.text, group, index)
                yield _candidate(row, f"{path.name}:{number}", size, stamp, read)


def _holds_text(type_: pa.DataType) -> bool:
    return any(
        test(type_)
        for test in (
            pa.types.is_string,
            pa.types.is_large_string,
            pa.types.is_binary,
            pa.types.is_large_binary,
        )
    )


@contextmanager
def _broken_file(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"is not a Parquet file that can be read ({error})", file=path) from None


def _candidate(row: Mapping[str, Any], name: str, size: int, stamp: str, read: Any) -> Candidate:
    path = str(_first(row, "path") or "").replace("\\", "/").lstrip("/")
    language = str(_first(row, "language") or "").lower() or language_of(path)
    kind = _first(row, "kind")
    if kind not in KINDS:
        kind = kind_of(language) if language else "natural_language"
    spdx = _first(row, "license")
    if isinstance(spdx, list):  # The Stack: each of them holds for a part
        spdx = " AND ".join(map(str, spdx))
    return Candidate(
        repository=str(_first(row, "repository") or name),
        path=path or name,
        language=language or "text",
        kind=cast(Kind, kind),
        license=str(spdx or UNKNOWN),
        size=size,
        stamp=stamp,
        read=read,
    )


def _first(row: Mapping[str, Any], column: str) -> Any:
    return next((row[name] for name in COLUMNS[column] if row.get(name) is not None), None)


def _read_line(path: Path, start: int) -> str:
    try:
        with open(path, "rb") as file:
            file.seek(start)
            text = _first(json.loads(file.readline()), "text")
    except (OSError, ValueError):
        raise UnreadableError("unreadable") from None
    return _unicode(text)


class _ParquetText:
    """One column of a Parquet file, a row group at a time (candidates are read in the order of the rows)."""

    def __init__(self, path: Path, column: str) -> None:
        self.file = pq.ParquetFile(path, memory_map=True)
        self.column = column
        self._group = -1
        self._texts: pa.ChunkedArray | None = None

    def text(self, group: int, index: int) -> str:
        try:
            if group != self._group:
                self._texts = self.file.read_row_group(group, columns=[self.column]).column(0)
                self._group = group
            assert self._texts is not None
            text = self._texts[index].as_py()
        except (pa.ArrowInvalid, OSError, UnicodeDecodeError):
            raise UnreadableError("unreadable") from None
        return _unicode(text.decode("utf-8", "replace") if isinstance(text, bytes) else text)


def _unicode(text: str) -> str:
    """``text``, if it can be written as UTF-8: JSON may spell lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UnreadableError("not UTF-8") from None
    if "\0" in text:
        raise UnreadableError("binary")
    return text
