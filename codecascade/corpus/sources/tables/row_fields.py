"""Maps the fields of a table row to a candidate, under the column names that public data sets use."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, cast

from codecascade.corpus.documents import KINDS, DocumentKind
from codecascade.corpus.reading.languages import (
    document_kind,
    is_spoken,
    language_by_alias,
    language_by_name,
)
from codecascade.corpus.reading.licenses import UNKNOWN, normalised_license
from codecascade.corpus.sources.archives.members import LONGEST_PATH, label_path
from codecascade.corpus.sources.candidates import Candidate

COLUMNS = {
    "text": ("text", "content"),
    "path": ("path", "max_stars_repo_path", "file_path"),
    "repository": ("repository", "repo", "repo_name", "max_stars_repo_name"),
    "language": ("language", "lang"),
    "license": ("license", "licenses", "max_stars_repo_licenses"),
    "kind": ("kind",),
    "revision": ("revision", "revision_id", "max_stars_repo_head_hexsha"),
}
"""Our column, and the names that data sets use for it, best first: the first one with a value counts.

A row's ``id`` is not used: some data sets give the same id to several rows (the id of their problem, for example),
and duplicates are recognised by their text.
"""


def row_candidate(
    row: Mapping[str, Any], name: str, size: int, stamp: str, reader: str, container: str, locator: str
) -> Candidate:
    """The candidate for a row.

    Args:
        row: values by column name.
        name: used if the row has no path or repository.
        size: bytes of its text.
    """
    path = label_path(_first(row, "path"))
    said, named = _label(row, "language")[:100], language_by_name(path)
    # Of web pages the column says in which language people speak.
    language = named if is_spoken(said) else language_by_alias(said) or named
    kind = _first(row, "kind")
    if kind not in KINDS:
        kind = document_kind(language) if language else "natural_language"
    spdx = _first(row, "license")
    # In The Stack, each licence of the list applies to a part of the repository.
    if isinstance(spdx, list):
        spdx = " AND ".join(map(str, spdx))
    return Candidate(
        repository=_label(row, "repository") or name,
        path=path or name,
        language=language or "text",
        kind=cast(DocumentKind, kind),
        license=normalised_license(str(spdx or UNKNOWN)[:LONGEST_PATH]),
        size=size,
        stamp=stamp,
        reader=reader,
        container=container,
        locator=locator,
        own=True,
        revision=_label(row, "revision"),
    )


def _label(row: Mapping[str, Any], column: str) -> str:
    return str(_first(row, column) or "")[:LONGEST_PATH]


def _first(row: Mapping[str, Any], column: str) -> Any:
    """The first usable value of a column: text or a number; for licences, also a list."""
    values: Iterator[Any] = (row[name] for name in COLUMNS[column] if row.get(name) is not None)
    if column != "license":
        values = (value[0] if isinstance(value, list) and len(value) == 1 else value for value in values)
        values = (value for value in values if not isinstance(value, list | dict))
    value = next((value for value in values if not isinstance(value, dict)), None)
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def parse_row(line: bytes) -> Any:
    """A line of JSON. Integers with too many digits for Python are read as text, because no column here needs them.

    Raises:
        UnicodeDecodeError: it is not UTF-8.
        ValueError: it is not JSON.
        RecursionError: it is nested too deeply.
    """
    try:
        return json.loads(line)
    except UnicodeDecodeError:
        raise
    except json.JSONDecodeError:
        raise
    except ValueError:
        return json.loads(line, parse_int=str)


def row_text(row: Mapping[str, Any]) -> str | None:
    """The text of a row, by the same rule as for Parquet columns: the first text column that is a string."""
    return next((row[name] for name in COLUMNS["text"] if isinstance(row.get(name), str)), None)
