"""The rows of a file of dialogues: JSON lines, a JSON array or Parquet, whatever a row holds.

A row that can't be read doesn't end the reading: it comes with its error, so that it can be named or counted. Where
nothing behind a fault can be read (a damaged archive, an array that is no JSON), the reading ends with an error.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, cast

from codecascade.corpus.reading.encoding import is_utf_16_or_32
from codecascade.corpus.reading.faults import FILE_ERRORS, check_machine
from codecascade.corpus.sources.addresses import is_remote, open_address
from codecascade.corpus.sources.archives.members import BombError
from codecascade.corpus.sources.streams import decompressed
from codecascade.corpus.sources.tables.limits import TableLimits, file_size, has_too_many_values, limited
from codecascade.ground.errors import RunFailed, UserError
from codecascade.ground.files.reading import open_regular
from codecascade.ground.files.values import first_words
from codecascade.ground.format import show_bytes
from codecascade.instruct.dialogues.json_arrays import array_rows
from codecascade.instruct.dialogues.parquet import parquet_rows
from codecascade.instruct.dialogues.row import LONGEST_ROW, Row, parse_row

_PARQUET_MAGIC = b"PAR1"


def read_rows(address: str) -> Iterator[Row]:
    """The rows of a file, one by one. The kind of file is told by its content, not by its name.

    Args:
        address: a local path, or an address for fsspec. It may be compressed (gzip, bzip2, xz, zstd).

    Raises:
        UserError: the file is missing or damaged, holds something else, or expands beyond reason.
    """
    with _file_errors(address), _opened(address) as raw:
        start = raw.read(len(_PARQUET_MAGIC))
        raw.seek(0)
        if start == _PARQUET_MAGIC:
            yield from parquet_rows(raw, address)
            return
        limits = TableLimits(file_size(raw))
        with decompressed(raw) as content:
            file = limited(content, limits.content) if content is not raw else content
            first = _first_sign(file, address)
            if first == b"[":
                yield from array_rows(file, address)
            else:
                yield from _json_lines(file, address, limits)


def _json_lines(file: IO[bytes], address: str, limits: TableLimits) -> Iterator[Row]:
    number = 0
    while line := file.readline(LONGEST_ROW + 1):
        number += 1
        limits.row()
        location = f"{address}:{number}"
        if number == 1 and line.strip() == b"{":
            raise UserError(
                "is one JSON object over several lines; dialogues are JSON lines (an object a line), a JSON array "
                "or Parquet",
                file=address,
            )
        if len(line) > LONGEST_ROW:
            size = len(line)
            while line and not line.endswith(b"\n"):
                line = file.readline(1 << 20)
                size += len(line)
            yield Row(location, number, error=_too_long(location, size))
        elif has_too_many_values(line):
            yield Row(location, number, error=UserError("holds millions of values", file=location))
        elif line.strip() not in (b"", b"\xef\xbb\xbf"):
            try:
                yield Row(location, number, parse_row(line, location))
            except UserError as error:
                yield Row(location, number, error=error)


def _too_long(location: str, size: int) -> UserError:
    return UserError(
        f"is a line of {show_bytes(size)}, and a dialogue has at most {show_bytes(LONGEST_ROW)}; "
        "write one dialogue a line, or take it out",
        file=location,
    )


def _first_sign(file: IO[bytes], address: str) -> bytes:
    """The first byte that is no white space nor byte order mark; nothing is taken out of ``file``."""
    # of a gzip or bzip2 stream too, whose type says nothing of peek
    start: bytes = cast(Any, file).peek(64)
    if is_utf_16_or_32(start):
        raise UserError(
            "is text in UTF-16 or UTF-32, and dialogues are read as UTF-8; write it anew "
            "(iconv -f UTF-16 -t UTF-8)",
            file=address,
        )
    return start.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]


def _opened(address: str) -> IO[bytes]:
    return open_address(address) if is_remote(address) else open_regular(address)


@contextmanager
def _file_errors(address: str) -> Iterator[None]:
    """Turn what a damaged or hostile file raises into one sentence."""
    try:
        yield
    except BombError:
        raise UserError("expands to far more than its size, and is not read", file=address) from None
    except (UserError, RunFailed):
        raise
    except FILE_ERRORS as error:
        check_machine(error)
        raise UserError(
            f"is damaged, or no JSON lines, JSON array or Parquet ({first_words(error) or type(error).__name__})",
            file=address,
        ) from None
