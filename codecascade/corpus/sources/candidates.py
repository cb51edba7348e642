"""Candidates: files and rows that may become documents; their text has not been read yet.

A build with a byte limit chooses among all candidates by name and size, and reads only the chosen ones. They are
kept as Arrow columns, so that millions of them fit in memory.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from codecascade.corpus.documents import DocumentKind
from codecascade.corpus.output.dropped import Dropped, storable_text
from codecascade.corpus.reading.languages import document_kind, language_by_name, language_by_shebang

FIND = "find"
"""The name of the step that lists candidates."""

IGNORED_FOLDERS = frozenset(
    {"__pycache__", "node_modules", "bower_components", "site-packages", "dist-packages"}
)
IGNORED_SUFFIXES = (".egg-info", ".dist-info")
DEEPEST = 200
"""Most levels of folders; a deeper tree was probably made to exhaust whoever walks it."""


class Candidate(NamedTuple):
    """A file, a member of an archive, or a row of a table, that may become a document."""

    repository: str
    path: str
    language: str
    kind: DocumentKind
    license: str
    size: int
    """Size in bytes, known before reading."""
    stamp: str
    """A text that changes when the content does."""
    reader: str
    """The key in :data:`codecascade.corpus.reading.containers.READERS` of the reader for its content."""
    container: str
    """The archive, repository or table that contains it; "" for a plain file."""
    locator: str
    """Where it is in the container; the format depends on the reader."""
    own: bool
    """Whether it is the user's own file or table, not a downloaded package."""
    revision: str = ""


SCHEMA = pa.schema(
    [(name, {"size": pa.int64(), "own": pa.bool_()}.get(name, pa.string())) for name in Candidate._fields]
)


class Origin(NamedTuple):
    """The common properties of the files of one repository."""

    repository: str
    base: str
    """The folder that their paths are relative to."""
    license: str
    own: bool
    revision: str = ""


def candidate_table(candidates: Iterable[Candidate]) -> pa.Table:
    """Candidates as a table of :data:`SCHEMA`, built in bounded chunks."""
    batches: list[pa.RecordBatch] = []
    waiting: list[Candidate] = []

    def flush() -> None:
        if waiting:
            columns = zip(zip(*waiting, strict=True), SCHEMA, strict=True)
            batches.append(
                pa.record_batch([_column(values, field.type) for values, field in columns], SCHEMA)
            )
            waiting.clear()

    for candidate in candidates:
        waiting.append(candidate)
        if len(waiting) >= 20_000:
            flush()
    flush()
    return pa.Table.from_batches(batches, SCHEMA)


def _column(values: Sequence[Any], type_: pa.DataType) -> pa.Array:
    try:
        return pa.array(values, type_)
    except UnicodeEncodeError:
        return pa.array(map(storable_text, values), type_)


def candidates_from_table(table: pa.Table | pa.RecordBatch) -> Iterator[Candidate]:
    """The candidates of a table; the inverse of :func:`candidate_table`."""
    for row in zip(*(column.to_pylist() for column in table.columns), strict=True):
        yield Candidate(*row)


def file_candidate(
    file: str, origin: Origin, dropped: Dropped, *, language: str | None = None, reader: str = "file"
) -> Iterator[Candidate]:
    """The candidate for a file, if the file can be one; the language is ``language``, else found by the name.

    Paths are plain strings: this runs for every file of a machine, and ``pathlib`` would take most of the time.
    """
    name = os.path.basename(file)
    path = file.removeprefix(origin.base + os.sep)
    language = language or language_by_name(name)

    def drop(reason: str) -> None:
        dropped.add(FIND, reason, path, origin.repository, license=origin.license)

    if not _is_unicode(file):
        return drop("name is not UTF-8")
    if language is None and "." in name:
        return drop("not a known language")
    try:
        status = os.stat(file)
        if not stat.S_ISREG(status.st_mode):
            return drop("not a file")
        language = language or language_by_shebang(first_line_of(file))
    except OSError:
        return drop("unreadable")
    if language is None:
        return drop("not a known language")
    yield Candidate(
        repository=origin.repository,
        path=path,
        language=language,
        kind=document_kind(language),
        license=origin.license,
        size=status.st_size,
        stamp=str(status.st_mtime_ns),
        reader=reader,
        container="",
        locator=file,
        own=origin.own,
        revision=origin.revision,
    )
    return None


def list_folder(folder: str | os.PathLike[str], dropped: Dropped) -> list[os.DirEntry[str]]:
    """The entries of a folder, sorted by name; [] if it can't be listed."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError:
        dropped.add(FIND, "unreadable folder", os.path.basename(folder))
        return []


def is_ignored_name(name: str) -> bool:
    """Whether a folder of this name is skipped: hidden folders, dependencies and caches."""
    return name.startswith(".") or name in IGNORED_FOLDERS or name.endswith(IGNORED_SUFFIXES)


def is_ignored_folder(entry: os.DirEntry[str]) -> bool:
    """Whether a folder on the disk is skipped: by its name, or as a virtual environment."""
    return is_ignored_name(entry.name) or os.path.lexists(os.path.join(entry.path, "pyvenv.cfg"))


def first_line_of(file: str) -> str:
    """The first line of a file, at most 200 bytes."""
    with open(file, "rb") as stream:
        return stream.readline(200).decode("latin-1")


def _is_unicode(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
