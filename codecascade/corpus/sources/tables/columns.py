"""Finds and reads the text columns of a Parquet file, whichever Arrow type they have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

_PLAIN = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
_BINARY = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view)


def text_columns(schema: pa.Schema, names: Sequence[str]) -> list[str]:
    """Those of ``names`` that are columns of text: strings or bytes of any width, dictionary-encoded or not."""
    return [name for name in names if schema.names.count(name) == 1 and holds_text(schema.field(name).type)]


def why_no_text(schema: pa.Schema, names: Sequence[str]) -> str:
    """Why none of ``names`` is a column of text, as the end of an error message."""
    twice = next((name for name in names if schema.names.count(name) > 1), None)
    if twice is not None:
        return f"has {schema.names.count(twice)} columns called {twice}; keep the one that holds the text"
    found = [f"{name} is of type {schema.field(name).type}" for name in names if name in schema.names]
    missing = f"has no column of text called {' or '.join(names)}"
    if found:
        return f"{missing} ({', '.join(found)}); write strings"
    shown = ", ".join(schema.names[:12]) or "none"
    return f"{missing} (its columns: {shown}); rename the one that holds the text"


def holds_text(type_: pa.DataType) -> bool:
    """Whether the values of an Arrow type are strings or bytes."""
    if isinstance(type_, pa.BaseExtensionType):
        return holds_text(type_.storage_type)
    if pa.types.is_dictionary(type_):
        return holds_text(type_.value_type)
    return any(test(type_) for test in (*_PLAIN, *_BINARY))


def is_label(schema: pa.Schema, name: str) -> bool:
    """Whether there is exactly one column of this name and its type is usable: text, integers, or lists of text.

    Other types carry no label, and reading some of them fails (times outside of Python's range).
    """
    if schema.names.count(name) != 1:
        return False
    type_ = schema.field(name).type
    if isinstance(type_, pa.BaseExtensionType):
        type_ = type_.storage_type
    is_list = pa.types.is_list(type_) or pa.types.is_large_list(type_)
    return holds_text(type_.value_type) if is_list else holds_text(type_) or pa.types.is_integer(type_)


def label_rows(batch: pa.RecordBatch, names: Sequence[str]) -> list[dict[str, Any]]:
    """The values of these columns for each row; :func:`is_label` must be true for them."""
    values = [_values(batch.column(name)) for name in names]
    return (
        [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]
        if names
        else [{}] * len(batch)
    )


def text_sizes(columns: Sequence[pa.Array]) -> Iterator[int | None]:
    """The bytes of each row's text, which is in the first column that is not null; None if all are null."""
    for row in zip(*(_lengths(column).to_pylist() for column in columns), strict=True):
        yield next((size for size in row if size is not None), None)


def row_value(columns: Sequence[pa.Array], row: int) -> Any:
    """The text of a row, a string or bytes, from the first column that is not null."""
    return next((item for column in columns if (item := column[row].as_py()) is not None), None)


def _values(column: pa.Array) -> list[Any]:
    try:
        return column.to_pylist()  # type: ignore[no-any-return]
    except UnicodeDecodeError:
        # The bytes are not UTF-8, although the type says so.
        return [_decoded(item) for item in column]


def _decoded(item: pa.Scalar) -> Any:
    try:
        return item.as_py()
    except UnicodeDecodeError:
        return (
            None
            if isinstance(item, pa.ListScalar)
            else item.cast(pa.binary()).as_py().decode(errors="replace")
        )


def _lengths(column: pa.Array) -> pa.Array:
    if isinstance(column, pa.ExtensionArray):
        return _lengths(column.storage)
    if pa.types.is_dictionary(column.type):
        # Not decoded as a whole: one long dictionary value may occur in every row.
        return _lengths(column.dictionary).take(column.indices)
    if pa.types.is_string_view(column.type) or pa.types.is_binary_view(column.type):
        column = column.cast(pa.large_binary())
    return pc.cast(pc.binary_length(column), pa.int64())
