"""Candidates: what may become a document, known by its name and size before its text is read.

So a build with a byte limit chooses among everything and reads only what it chose. What can't be a document
is counted, never fatal.
"""

from __future__ import annotations

import io
import os
import stat
import tokenize
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from codecascade.corpus.documents import Kind
from codecascade.corpus.dropped import Dropped
from codecascade.corpus.languages import kind_of, language_of, language_of_shebang

IGNORED_FOLDERS = frozenset(
    {"__pycache__", "node_modules", "bower_components", "site-packages", "dist-packages"}
)
IGNORED_SUFFIXES = (".egg-info", ".dist-info")


class UnreadableError(Exception):
    """A candidate whose text can't be had; the message is the reason that gets counted."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file, or a row of a table, that may become a document."""

    repository: str
    path: str
    language: str
    kind: Kind
    license: str
    size: int
    """Bytes, before reading."""
    stamp: str
    """Changes when the content does."""
    read: Callable[[], str]
    """The text; raises :class:`UnreadableError`."""


class Origin(NamedTuple):
    """What the files of one repository share."""

    repository: str
    base: str
    """The folder that paths are relative to."""
    license: str


def file_candidate(
    file: str, origin: Origin, dropped: Dropped, *, language: str | None = None
) -> Iterator[Candidate]:
    """The candidate that a file is, if it is one (in the named language, else in the one its name tells).

    Paths are plain strings here: this runs for every file of a machine, and ``pathlib`` would take most of the time.
    """
    name = os.path.basename(file)
    language = language or language_of(name)
    if language is None and "." in name:
        dropped.add("find", "not a known language")
        return
    try:
        status = os.stat(file)
        if not stat.S_ISREG(status.st_mode):
            dropped.add("find", "not a file")
            return
        language = language or language_of_shebang(first_line(file))
    except OSError:
        dropped.add("find", "unreadable")
        return
    if language is None:
        dropped.add("find", "not a known language")
        return
    yield Candidate(
        repository=origin.repository,
        path=file.removeprefix(origin.base + os.sep),
        language=language,
        kind=kind_of(language),
        license=origin.license,
        size=status.st_size,
        stamp=str(status.st_mtime_ns),
        read=partial(read_text, file, language),
    )


def list_folder(folder: Path, dropped: Dropped) -> list[os.DirEntry[str]]:
    """What is in a folder, by name; nothing if it can't be listed."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError:
        dropped.add("find", "unreadable folder")
        return []


def ignored(entry: os.DirEntry[str]) -> bool:
    """Hidden folders, dependencies, caches and virtual environments: not the source's own code."""
    return (
        entry.name.startswith(".")
        or entry.name in IGNORED_FOLDERS
        or entry.name.endswith(IGNORED_SUFFIXES)
        or os.path.lexists(os.path.join(entry.path, "pyvenv.cfg"))
    )


def first_line(file: str) -> str:
    """The beginning of a file, for its shebang."""
    with open(file, "rb") as stream:
        return stream.readline(200).decode("latin-1")


def read_text(file: str, language: str) -> str:
    """A file's text as UTF-8, or by a Python file's declared encoding.

    Raises:
        UnreadableError: gone, not permitted, binary, or in an encoding that it doesn't declare.
    """
    try:
        data = Path(file).read_bytes()
    except OSError:
        raise UnreadableError("unreadable") from None
    if b"\0" in data:
        raise UnreadableError("binary")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        pass
    try:
        if language == "python":
            encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
            return data.decode(encoding)
    except (SyntaxError, UnicodeDecodeError, LookupError):
        pass
    raise UnreadableError("not UTF-8")
