"""Reads a source of dialogues: its files, one format each, and what could not be used of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path

from codecascade.ground.errors import UserError
from codecascade.ground.files.values import first_words
from codecascade.ground.seeds import draw
from codecascade.instruct.dialogues.dialogue import Dialogue, DialogueTable
from codecascade.instruct.dialogues.formats import check_columns, format_of
from codecascade.instruct.dialogues.places import files_of_source
from codecascade.instruct.dialogues.row import Row
from codecascade.instruct.dialogues.rows import read_rows
from codecascade.instruct.dialogues.settings import Column, DialogueSource, FormatName
from codecascade.instruct.dialogues.usable import Usable, usable

_LOOKED_AT = 32
"""Rows that decide about a file's format."""


@dataclass(frozen=True)
class FileRows:
    """A file's rows, in order, and the format that they are read in."""

    file: str
    format: FormatName
    rows: Iterator[Row]


@dataclass(frozen=True)
class ReadDialogues:
    """What a source gave.

    Attributes:
        formats: of each file, by its path.
        skipped: rows that could not be used, by the reason without its place.
        notes: how often each thing was done that a file's author may want to know.
    """

    table: DialogueTable
    formats: dict[str, FormatName]
    skipped: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)


def open_file(file: str, settings: DialogueSource) -> FileRows:
    """A file's rows and format.

    Raises:
        UserError: the file can't be read, is empty, or is of no known format.
    """
    rows = read_rows(file)
    first = list(islice(rows, _LOOKED_AT))
    if not first:
        raise UserError(
            'holds no dialogues; a line is {"messages": [{"role": ..., "content": ...}, ...]}', file=file
        )
    found = settings.format
    if found is None:
        try:
            found = format_of((row.value for row in first), settings, file)
        except UserError as error:
            # a line that is no JSON says more than that no keys are known
            raise next((row.error for row in first if row.error is not None), error) from None
    check_columns(found, settings, file)
    return FileRows(file, found, chain(first, rows))


class UnseenColumns:
    """The named columns that a row may lack, as long as no row had them.

    A name that no row has is a slip of the pen, and would change nothing.
    """

    def __init__(self, settings: DialogueSource) -> None:
        may_lack: tuple[Column, ...] = ("system", "input")
        self._unseen = {name: settings.columns[name] for name in may_lack if name in settings.columns}

    def look(self, row: Row) -> None:
        """Take what this row has off the list."""
        if self._unseen and isinstance(row.value, dict):
            self._unseen = {name: key for name, key in self._unseen.items() if key not in row.value}

    @property
    def complaint(self) -> str:
        """A sentence on the first of them; empty if there is none."""
        return next(
            (
                f"no row has the key {key!r}, which `columns` names as `{name}`"
                for name, key in self._unseen.items()
            ),
            "",
        )


def each_row(rows: FileRows, settings: DialogueSource) -> Iterator[tuple[Row, Usable | UserError]]:
    """Each row with its dialogue, or with the reason why there is none."""
    for row in rows.rows:
        try:
            yield row, usable(row, rows.format, settings)
        except UserError as error:
            yield row, error


def read_source(
    source: DialogueSource, *, progress: Callable[[str, int], None] | None = None, offline: bool = False
) -> ReadDialogues:
    """All dialogues of a source's files.

    Args:
        progress: called now and then with a file's name and the dialogues so far.
        offline: of a data set of the hub, take what is in this machine's cache.

    Raises:
        UserError: a file can't be read, a row can't be used (unless the settings skip those), or none is left.
    """
    dialogues: list[Dialogue] = []
    formats: dict[str, FormatName] = {}
    skipped: Counter[str] = Counter()
    notes: Counter[str] = Counter()
    unseen = UnseenColumns(source)
    for file in files_of_source(source, offline=offline):
        rows = open_file(file, source)
        formats[file] = rows.format
        for row, found in each_row(rows, source):
            unseen.look(row)
            if isinstance(found, Usable):
                dialogues.append(found.dialogue)
                notes.update(found.notes)
            elif source.unusable == "error":
                raise found
            else:
                skipped[reason(found)] += 1
            if progress is not None and (len(dialogues) + skipped.total()) % 1000 == 0:
                progress(file, len(dialogues))
    if not dialogues:
        why = f": {skipped.most_common(1)[0][0]}" if skipped else ""
        raise UserError(f"holds no dialogue that can be used{why}", file=source.source)
    if unseen.complaint:
        raise UserError(unseen.complaint, file=source.source)
    return ReadDialogues(DialogueTable(_limited(dialogues, source.limit)), formats, skipped, notes)


def reason(error: UserError) -> str:
    """Why a row can't be used, without the place: equal for rows with the same fault."""
    key = "" if error.key is None else "".join(sign for sign in error.key if not sign.isdigit())
    return first_words(Exception(f"{key.replace('[]', '')}: {error.message}" if key else error.message))


def _limited(dialogues: list[Dialogue], limit: int | None) -> list[Dialogue]:
    """So many of them, drawn by their hashes, in their order."""
    if limit is None or len(dialogues) <= limit:
        return dialogues
    order = sorted(range(len(dialogues)), key=lambda index: (draw("limit", dialogues[index].id), index))
    kept = {*order[:limit]}
    return [dialogue for index, dialogue in enumerate(dialogues) if index in kept]


def read_dialogues(path: str | Path) -> DialogueTable:
    """The dialogues of a file, whatever its format; keys that no format has are left to other readers.

    Raises:
        UserError: the file is missing or holds none, or a line is not a dialogue (file, line and key are named).
    """
    return read_source(DialogueSource(source=str(path))).table
