"""Parts of other files of a document's repository, as an editor's plug-in sends them before the cursor's file."""

from __future__ import annotations

import threading
from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from typing import Any, Protocol

from codecascade.corpus.documents import Document
from codecascade.corpus.similar_parts import LARGEST, MOST_FILES, PartIndex, query_words
from codecascade.tokens.repository import RepositoryChunk

_MOST = 32
"""Parts for one document; they have ten lines each, so that more would hardly fit."""
_MOST_PARTS = 10_000
"""Of a larger repository so many parts are kept, evenly spaced: a search takes some 40 ms."""
_KEPT = 40_000
"""Parts of all repositories that are kept, with their words about 160 MB. What was used longest ago makes room."""
_MOST_KEPT = 10_000
"""Repositories that are kept."""

_Key = tuple[str, str]
_Rows = list[tuple[int, int]]


class RepositoryTable(Protocol):
    """Documents with their repositories: :class:`codecascade.corpus.corpus.DocumentTable`."""

    def __getitem__(self, index: int, /) -> Document: ...

    def values(self, column: str) -> Sequence[str]:
        """One column of all documents."""
        ...


class Neighbours:
    """The files of some tables, by repository and language.

    Which documents a repository has is kept in memory, and so are the parts of the repositories that were used last.
    So this is for a corpus of some repositories, not for one of a hundred million files.
    """

    def __init__(self, tables: Sequence[RepositoryTable]) -> None:
        self._tables = tables
        self._rows: dict[_Key, _Rows] | None = None
        self._indices: OrderedDict[_Key, PartIndex] = OrderedDict()
        self._kept = 0
        self._lock = threading.Lock()

    def of(self, document: Document, before: str) -> tuple[RepositoryChunk, ...]:
        """Parts of files other than the document's; the most similar one to the last lines of ``before`` is last."""
        with self._lock:
            index = self._index((document.repository, document.language))
        return tuple(index.similar(query_words(before), document.path, _MOST))

    def _index(self, key: _Key) -> PartIndex:
        index = self._indices.pop(key, None)
        if index is None:
            index = PartIndex(self._files(key), _MOST_PARTS)
            self._kept += len(index)
        self._indices[key] = index
        while len(self._indices) > 1 and (self._kept > _KEPT or len(self._indices) > _MOST_KEPT):
            self._kept -= len(self._indices.popitem(last=False)[1])
        return index

    def _files(self, key: _Key) -> dict[str, str]:
        if self._rows is None:
            found: dict[_Key, _Rows] = defaultdict(list)
            for number, table in enumerate(self._tables):
                columns = (table.values(column) for column in ("repository", "language"))
                for row, of_row in enumerate(zip(*columns, strict=True)):
                    found[of_row].append((number, row))
            self._rows = dict(found)
        rows = self._rows.get(key, [])
        chosen = rows[:: max(1, -(-len(rows) // MOST_FILES))]
        documents = (self._tables[number][row] for number, row in chosen)
        return {each.path: each.text for each in documents if len(each.text) <= LARGEST}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())
