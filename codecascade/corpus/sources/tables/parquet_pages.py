"""Reads from the page headers of a Parquet file what its pages claim to unpack to.

Arrow trusts a page header and allocates what it says. A dictionary of one long value and a few bytes of references
can unpack to a column of any size. The file format: https://parquet.apache.org/docs/file-format/ (page headers use
Thrift's compact protocol).
"""

from __future__ import annotations

from typing import IO, Any, NamedTuple

import pyarrow.parquet as pq

from codecascade.corpus.sources.archives.members import BombError

LARGEST_PAGE = 256 << 20
"""Most bytes of an unpacked page. Writers make pages of about 1 MB; a page can't be smaller than its longest
value."""
AT_ONCE = 64 << 20
"""Most bytes of values in memory at once, approximately."""
_MOST_ROWS = 1000
_MOST_VALUES = 2_000_000
_LARGEST_HEADER = 1 << 24
_FIRST_GUESS = 4096
_DEEPEST = 10
_DICTIONARY_PAGE = 2
# Field numbers of a page header: type, sizes, and the page types that count values.
_TYPE, _UNPACKED, _PACKED, _DATA, _DICTIONARY, _DATA_V2 = 1, 2, 3, 5, 7, 8
_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _STRUCT = 1, 2, 3, 7, 8, 9, 10, 12
_INTEGERS = (4, 5, 6)


class Pages(NamedTuple):
    """What the pages of one column chunk claim."""

    unpacked: int
    """Unpacked bytes of all pages."""
    values: int
    longest: int
    """Most bytes of one value that can be repeated (dictionary, delta); else 0."""


def check_group(
    file: IO[bytes], metadata: pq.FileMetaData, group: int, columns: list[str], allowed: int
) -> int:
    """Check that a row group can be unpacked.

    Args:
        columns: the first path components of the columns that will be read.
        allowed: bytes that they may unpack to.

    Returns:
        The number of rows that may be read at once.

    Raises:
        BombError: the pages claim more than is allowed.
        ValueError: a page header is invalid.
    """
    about = metadata.row_group(group)
    longest = unpacked = 0
    for number in range(about.num_columns):
        column = about.column(number)
        if column.path_in_schema.partition(".")[0] not in columns:
            continue
        pages = _pages(file, column)
        unpacked += pages.unpacked
        longest = max(longest, pages.longest, pages.unpacked // max(about.num_rows, 1))
        if unpacked > allowed or pages.values > max(_MOST_VALUES, 20 * about.num_rows):
            raise BombError
    return max(1, min(_MOST_ROWS, AT_ONCE // max(longest, 1)))


def _pages(file: IO[bytes], column: Any) -> Pages:
    offset = column.data_page_offset
    if (
        column.has_dictionary_page
        and column.dictionary_page_offset
        and column.dictionary_page_offset < offset
    ):
        offset = column.dictionary_page_offset
    end = offset + column.total_compressed_size
    unpacked = values = longest = 0
    while offset < end and values < column.num_values:
        header, size = _header(file, offset)
        page, packed = header.get(_UNPACKED), header.get(_PACKED)
        if not isinstance(page, int) or not isinstance(packed, int) or page < 0 or packed < 0:
            raise ValueError("a page without a size")
        if page > LARGEST_PAGE:
            raise BombError
        unpacked += page
        if header.get(_TYPE) == _DICTIONARY_PAGE or "DELTA_BYTE_ARRAY" in column.encodings:
            longest = max(longest, page)
        for kind in (_DATA, _DATA_V2):
            about = header.get(kind)
            if isinstance(about, dict):
                values += max(0, about.get(1) or 0)
        offset += size + packed
    return Pages(unpacked, values, longest)


def _header(file: IO[bytes], offset: int) -> tuple[dict[int, Any], int]:
    """The fields of the page header at an offset, and its length."""
    size = _FIRST_GUESS
    while True:
        file.seek(offset)
        data = file.read(size)
        try:
            reader = _Compact(data)
            return reader.struct(), reader.offset
        except IndexError:
            # The header may be longer: it can contain the smallest and largest value of its page.
            if len(data) < size or size >= _LARGEST_HEADER:
                raise ValueError("a page's header is cut") from None
            size *= 16


class _Compact:
    """A parser of Thrift's compact protocol, for integers and structures; other values are skipped.

    Raises:
        IndexError: the data ends too early.
        ValueError: it is invalid.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.offset = 0

    def struct(self, depth: int = 0) -> dict[int, Any]:
        if depth > _DEEPEST:
            raise ValueError("nested too deeply")
        fields: dict[int, Any] = {}
        number = 0
        while kind := self._byte():
            step = kind >> 4
            number = number + step if step else self._integer()
            fields[number] = self._value(kind & 15, depth)
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        if kind in (_TRUE, _FALSE):
            return kind == _TRUE
        if kind in _INTEGERS:
            return self._integer()
        if kind == _STRUCT:
            return self.struct(depth + 1)
        if kind in (_BYTE, _DOUBLE):
            self._pass(1 if kind == _BYTE else 8)
        elif kind == _BINARY:
            self._pass(self._varint())
        elif kind in (_LIST, _SET):
            first = self._byte()
            count = first >> 4 if first >> 4 < 15 else self._varint()
            for _ in range(count):
                # A boolean in a list takes one byte.
                self._value(_BYTE if first & 15 in (_TRUE, _FALSE) else first & 15, depth + 1)
        else:
            raise ValueError("no page's header")
        return None

    def _byte(self) -> int:
        byte = self._data[self.offset]
        self.offset += 1
        return byte

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
            if shift > 63:
                raise ValueError("a number without end")

    def _integer(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def _pass(self, size: int) -> None:
        self.offset += size
        if self.offset > len(self._data):
            raise IndexError
