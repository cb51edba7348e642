"""What a row of a table says, under the names that public data sets use."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, cast

from codecascade.corpus.documents import KINDS, DocumentKind
from codecascade.corpus.reading.languages import document_kind, language_by_name
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
"""Our column, and the names that it is found under, best first: of a row's values the first that is there counts.

A row's ``id`` is not among them: data sets give the same one to several rows (the id of their problem, say), and what
is the same text twice is told by the text.
"""


def row_candidate(
    row: Mapping[str, Any], name: str, size: int, stamp: str, reader: str, container: str, locator: str
) -> Candidate:
    """The candidate that a row is.

    Args:
        row: values by the names of their columns.
        name: of the row, where it gives no path or repository.
        size: bytes of its text.
    """
    path = label_path(_first(row, "path"))
    language = _label(row, "language").lower()[:100] or language_by_name(path)
    kind = _first(row, "kind")
    if kind not in KINDS:
        kind = document_kind(language) if language else "natural_language"
    spdx = _first(row, "license")
    if isinstance(spdx, list):  # The Stack: each of them holds for a part
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
    """The first value that can be a label: text, a number, or of licences a list."""
    values: Iterator[Any] = (row[name] for name in COLUMNS[column] if row.get(name) is not None)
    if column != "license":
        values = (value[0] if isinstance(value, list) and len(value) == 1 else value for value in values)
        values = (value for value in values if not isinstance(value, list | dict))
    value = next((value for value in values if not isinstance(value, dict)), None)
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def parse_row(line: bytes) -> Any:
    """A line of JSON; of a number with more digits than Python reads, which no column here needs, as a text.

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
    """By the rule that a Parquet file's columns go by: what is null or no text is passed over."""
    return next((row[name] for name in COLUMNS["text"] if isinstance(row.get(name), str)), None)
