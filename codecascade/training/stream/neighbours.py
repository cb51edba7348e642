"""Parts of other files of a document's repository, which come before it as an editor's plug-in sends them."""

from __future__ import annotations

import threading
from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from typing import Protocol

from codecascade.corpus.documents import Document
from codecascade.corpus.similar_parts import PartIndex, query_words
from codecascade.tokens.repository import RepositoryChunk

_MOST = 32
"""Parts for one document; they have ten lines each, so that more would hardly fit."""
_MOST_FILES = 500
"""Of a larger repository so many files are looked at, evenly spaced."""
_LARGEST = 100_000
"""Characters; parts of a longer file are not shown."""
_KEPT = 40_000
"""Parts of all repositories that are kept, with their words about 100 MB. What was used longest ago is read again."""

_Key = tuple[str, str]


class RepositoryTable(Protocol):
    """Documents with their repositories: :class:`codecascade.corpus.corpus.DocumentTable`."""

    def __getitem__(self, index: int, /) -> Document: ...

    def values(self, column: str) -> Sequence[str]:
        """One column of all documents."""
        ...


class Neighbours:
    """The files of a table, by repository and language.

    Where each repository is is held in memory, and the repositories that were used last. So it is for a corpus of
    some hundred thousand documents, not for one of a hundred million.
    """

    def __init__(self, table: RepositoryTable) -> None:
        self._table = table
        self._rows: dict[_Key, list[int]] | None = None
        self._indices: OrderedDict[_Key, PartIndex] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, document: Document, before: str) -> Sequence[RepositoryChunk]:
        """Parts of files other than the document's; the most similar one to the last lines of ``before`` is last."""
        with self._lock:
            index = self._index((document.repository, document.language))
        return index.similar(query_words(before), document.path, _MOST)

    def _index(self, key: _Key) -> PartIndex:
        index = self._indices.pop(key, None) or PartIndex(self._files(key))
        self._indices[key] = index
        while len(self._indices) > 1 and sum(map(len, self._indices.values())) > _KEPT:
            self._indices.popitem(last=False)
        return index

    def _files(self, key: _Key) -> dict[str, str]:
        if self._rows is None:
            found: dict[_Key, list[int]] = defaultdict(list)
            columns = (self._table.values(column) for column in ("repository", "language"))
            for row, of_row in enumerate(zip(*columns, strict=True)):
                found[of_row].append(row)
            self._rows = dict(found)
        rows = self._rows.get(key, [])
        documents = (self._table[row] for row in rows[:: max(1, -(-len(rows) // _MOST_FILES))])
        return {each.path: each.text for each in documents if len(each.text) <= _LARGEST}
