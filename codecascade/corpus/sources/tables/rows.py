"""Lists and reads the rows of JSON lines and Parquet files.

The files are local, or at any address that fsspec supports (``hf://datasets/OWNER/NAME/data/*.parquet``, ``s3://``,
...). A row without a repository is a repository of its own, so that hold-out goes row by row. Its language is the
one that it states, else that of its path; a row with neither is natural language.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from codecascade.corpus.output.dropped import Dropped
from codecascade.corpus.reading.encoding import UnreadableError, is_utf_16_or_32
from codecascade.corpus.reading.faults import FILE_ERRORS, check_machine
from codecascade.corpus.sources.addresses import address_stamp, files_at, is_remote, open_address
from codecascade.corpus.sources.archives.members import BombError
from codecascade.corpus.sources.candidates import FIND, Candidate
from codecascade.corpus.sources.streams import ForwardReader, decompressed
from codecascade.corpus.sources.tables import columns
from codecascade.corpus.sources.tables.limits import TableLimits, file_size, has_too_many_values, limited
from codecascade.corpus.sources.tables.parquet_pages import check_group
from codecascade.corpus.sources.tables.row_fields import COLUMNS, parse_row, row_candidate, row_text
from codecascade.ground.errors import UserError

log = logging.getLogger(__name__)

JSON_LINES = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".jsonl.bz2", ".jsonl.xz", ".ndjson")
PARQUET = (".parquet",)
_LARGEST_LOOKED_AT = 1 << 28
"""A larger remote file is not checked for hostile pages, because reading them takes as long as reading the file."""
LONGEST_LINE = 64_000_000
"""Most bytes of one JSON object. Parsed, it may take eight times as much memory."""


def is_table(name: str) -> bool:
    """Whether a name is that of a JSON lines or Parquet file."""
    return name.lower().endswith((*JSON_LINES, *PARQUET))


def table_files(source: str) -> list[str]:
    """The files that an fsspec address names: itself, the matches of a pattern, or the tables below a folder.

    Raises:
        UserError: there is none, or the address can't be reached.
    """
    return files_at(source, (*JSON_LINES, *PARQUET))


def table_candidates(address: str, dropped: Dropped, name: str | None = None) -> Iterator[Candidate]:
    """The rows of a table file; ``address`` is a local path or an fsspec address.

    Of a truncated or damaged file, the rows before the damage are returned.

    Raises:
        UserError: the file can't be reached, or a Parquet file has no column of text.
    """
    read = _parquet if address.lower().endswith(PARQUET) else _json_lines
    try:
        yield from read(address, name or _file_name(address), dropped)
    except BombError:
        log.warning("%s: expands beyond reason, and what lies behind that is left out", address)
        dropped.add(FIND, "table expands beyond reason", _file_name(address))
    except FILE_ERRORS as error:
        check_machine(error)
        reason = (str(error).strip() or type(error).__name__).split("\n")[0]
        log.warning("%s: is damaged, and what lies behind the damage is left out (%s)", address, reason)
        dropped.add(FIND, f"damaged table ({type(error).__name__})", _file_name(address))


def _json_lines(address: str, name: str, dropped: Dropped) -> Iterator[Candidate]:
    version = address_stamp(address)
    with open_address(address) as raw, decompressed(raw) as content:
        limits = TableLimits(file_size(raw))
        reader = "jsonl" if content is raw else "compressed jsonl"
        file = content if content is raw else limited(content, limits.content)
        start = number = 0
        while line := file.readline(LONGEST_LINE):
            number += 1
            if number == 1 and is_utf_16_or_32(line):
                raise UserError(
                    "is text in UTF-16 or UTF-32, and JSON lines are UTF-8; write it anew "
                    f"(iconv -f UTF-16 -t UTF-8 {name})",
                    file=address,
                )
            limits.row()
            if line.isspace():
                start += len(line)
                continue
            if not line.endswith(b"\n") and len(line) == LONGEST_LINE:
                reason = f"row longer than {LONGEST_LINE / 1e6:g} MB"
                dropped.add(FIND, reason, f"{name}:{number}", bytes=len(line))
                while line and not line.endswith(b"\n"):
                    start += len(line)
                    line = file.readline(LONGEST_LINE)
                start += len(line)
                continue
            text, reason = None, "row without text"
            try:
                if has_too_many_values(line):
                    reason = "row with too many values"
                elif isinstance(row := parse_row(line), dict):
                    text = row_text(row)
            except UnicodeDecodeError:
                reason = "row is not UTF-8"
            except (ValueError, RecursionError):
                reason = "row is not JSON"
            if text is None:
                limits.row_without_text()
                dropped.add(FIND, reason, f"{name}:{number}")
            else:
                size = len(text) if text.isascii() else len(text.encode(errors="replace"))
                yield row_candidate(
                    row, f"{name}:{number}", size, version, reader, address, f"{start}:{len(line)}"
                )
            start += len(line)


def _parquet(address: str, name: str, dropped: Dropped) -> Iterator[Candidate]:
    version = address_stamp(address)
    file = _parquet_file(address)
    schema = file.schema_arrow
    of_text = columns.text_columns(schema, COLUMNS["text"])
    if not of_text:
        raise UserError(columns.why_no_text(schema, COLUMNS["text"]), file=address)
    others = [
        n for key, names in COLUMNS.items() if key != "text" for n in names if columns.is_label(schema, n)
    ]
    number = 0
    with open_address(address) as raw:
        limits = TableLimits(file_size(raw))
    for group in range(file.num_row_groups):
        index = 0
        # A row group may hold a gigabyte, so only some rows of it are read at once.
        at_once = _rows_at_once(file, address, group, [*of_text, *others], limits)
        for batch in file.iter_batches(batch_size=at_once, row_groups=[group], columns=[*of_text, *others]):
            sizes = columns.text_sizes([batch.column(name) for name in of_text])
            rows = columns.label_rows(batch, others)
            for size, row in zip(sizes, rows, strict=True):
                number += 1
                limits.row()
                if size is None:
                    limits.row_without_text()
                    dropped.add(FIND, "row without text", f"{name}:{number}")
                else:
                    locator = f"{'+'.join(of_text)}:{group}:{index}"
                    yield row_candidate(row, f"{name}:{number}", size, version, "parquet", address, locator)
                index += 1


def _parquet_file(address: str) -> pq.ParquetFile:
    return (
        pq.ParquetFile(open_address(address))
        if is_remote(address)
        else pq.ParquetFile(address, memory_map=True)
    )


def _rows_at_once(
    file: pq.ParquetFile, address: str, group: int, wanted: list[str], limits: TableLimits
) -> int:
    """How many rows of a group may be read at once. Raises :class:`BombError` if the group claims too much."""
    with open_address(address) as raw:
        size = file_size(raw)
        if is_remote(address) and size > _LARGEST_LOOKED_AT:
            return 1000
        return check_group(raw, file.metadata, group, wanted, limits.content)


def _file_name(address: str) -> str:
    return address.rstrip("/").rpartition("/")[2]


class JsonLinesReader:
    """An open JSON lines file."""

    def __init__(self, address: str) -> None:
        with _unreadable_errors(address):
            self._file = open_address(address)
        self._address = address

    def read(self, locator: str, limit: int) -> str:
        """The text of a row. Raises :class:`UnreadableError`."""
        start, length = map(int, locator.split(":"))
        with _unreadable_errors(self._address):
            self._file.seek(start)
            return _row_text(self._file.read(length), limit)

    def close(self) -> None:
        self._file.close()


class CompressedJsonLinesReader:
    """An open compressed JSON lines file, which must be read forwards."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._stream = ForwardReader(lambda: open_address(address))

    def read(self, locator: str, limit: int) -> str:
        """The text of a row. Raises :class:`UnreadableError`."""
        start, length = map(int, locator.split(":"))
        with _unreadable_errors(self._address):
            return _row_text(self._stream.read(start, length), limit)

    def close(self) -> None:
        self._stream.close()


class ParquetReader:
    """An open Parquet file; rows are read forwards, in small batches."""

    def __init__(self, address: str) -> None:
        self._address = address
        with _unreadable_errors(address):
            self._file = _parquet_file(address)
        self._limits: TableLimits | None = None
        self._group = self._start = -1
        self._batches: Iterator[pa.RecordBatch] = iter(())
        self._batch: pa.RecordBatch | None = None

    def read(self, locator: str, limit: int) -> bytes | str:
        """The text of a row; the bytes of a binary column, whose encoding is detected as that of a file.

        Raises:
            UnreadableError: the file has changed, or the text is too long.
        """
        names, group_, index_ = locator.split(":")
        group, index = int(group_), int(index_)
        try:
            with _unreadable_errors(self._address):
                text = self._row(names.split("+"), group, index)
        except UnreadableError:
            self._group = -1
            raise
        if isinstance(text, bytes):
            if len(text) > limit:
                raise UnreadableError("larger than max_file_bytes")
            return text
        return _unicode(text, limit)

    def _row(self, names: list[str], group: int, index: int) -> Any:
        if group != self._group or index < self._start:
            if self._limits is None:
                with open_address(self._address) as raw:
                    self._limits = TableLimits(file_size(raw))
            at_once = _rows_at_once(self._file, self._address, group, names, self._limits)
            self._batches = self._file.iter_batches(batch_size=at_once, row_groups=[group], columns=names)
            self._group, self._start, self._batch = group, 0, None
        while self._batch is None or index >= self._start + len(self._batch):
            self._start += len(self._batch) if self._batch is not None else 0
            self._batch = next(self._batches)
        return columns.row_value([self._batch.column(name) for name in names], index - self._start)

    def close(self) -> None:
        self._file.close()


@contextmanager
def _unreadable_errors(address: str) -> Iterator[None]:
    """Turns the errors of reading a row that was listed earlier into :class:`UnreadableError`."""
    try:
        yield
    except UserError:
        if is_remote(address):
            raise
        raise UnreadableError("unreadable") from None
    except (*FILE_ERRORS, BombError, AttributeError, StopIteration):
        raise UnreadableError("unreadable") from None


def _row_text(line: bytes, limit: int) -> str:
    return _unicode(row_text(parse_row(line)), limit)


def _unicode(value: Any, limit: int) -> str:
    """``value`` without its byte order mark, if it is valid Unicode; JSON may contain lone surrogates."""
    if not isinstance(value, str):
        raise UnreadableError("unreadable")
    text = value.removeprefix("\ufeff")
    try:
        size = len(text) if text.isascii() else len(text.encode())
    except UnicodeEncodeError:
        raise UnreadableError("not UTF-8") from None
    if size > limit:
        raise UnreadableError("larger than max_file_bytes")
    if "\0" in text:
        raise UnreadableError("binary")
    return text
