"""Parts of other files of a document's repository, as an editor's plug-in sends them before the cursor's file.

Those most like the lines before the cursor are what most plug-ins send. What the file imports may come first: so
DeepSeek-Coder's training documents were ordered (Guo et al. 2024, section 2.2), each file behind those that it uses.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

from codecascade.corpus.documents import Document
from codecascade.corpus.imports.readers import READ_WITH, READERS
from codecascade.corpus.similar_parts import LARGEST, MOST_FILES, PartIndex, by_similarity, query_words
from codecascade.tokens.repository import RepositoryChunk

_MOST = 32
"""Parts for one document; they have ten lines each, so that more would hardly fit."""
_MOST_PARTS = 10_000
"""Of a larger repository so many parts are kept, evenly spaced: a search takes some 40 ms."""
_KEPT = 40_000
"""Parts of all repositories that are kept, with their words about 160 MB. What was used longest ago makes room."""
_MOST_KEPT = 10_000
"""Repositories that are kept."""

NeighbourChoice = Literal["similar", "imported"]
"""Parts like the lines before the cursor; or, nearer to the file, the definitions that it imports."""
_Key = tuple[str, str]
_Rows = list[tuple[int, int]]


class RepositoryTable(Protocol):
    """Documents with their repositories: :class:`codecascade.corpus.corpus.DocumentTable`."""

    def __getitem__(self, index: int, /) -> Document: ...

    def values(self, column: str) -> Sequence[str]:
        """One column of all documents."""
        ...


class _RepositoryFiles:
    """The files of one repository and group of languages, of which parts are shown."""

    def __init__(self, files: Mapping[str, str], group: str, choice: NeighbourChoice) -> None:
        self._index = PartIndex(files, _MOST_PARTS)
        self._reader = READERS[group](files) if choice == "imported" and group in READERS else None
        self._paths, self._lock = frozenset(files), threading.Lock()

    def __len__(self) -> int:
        return len(self._index)

    def parts(self, path: str, before: str) -> tuple[RepositoryChunk, ...]:
        """Of files other than ``path``; what matters most is last."""
        query = query_words(before)
        similar = self._index.similar(query, path, _MOST)
        if self._reader is None or path not in self._paths:
            return tuple(similar)
        with self._lock:
            uses = self._reader.uses(path)
        imported = by_similarity(query, uses.chunks)
        shown = {chunk.path for chunk in imported}
        return (*(chunk for chunk in similar if chunk.path not in shown), *imported)[-_MOST:]


class Neighbours:
    """The files of some tables, by repository and language (JavaScript and TypeScript are one).

    Which documents a repository has is kept in memory, and so are the parts of the repositories that were used last.
    So this is for a corpus of some repositories, not for one of a hundred million files.
    """

    def __init__(self, tables: Sequence[RepositoryTable], choice: NeighbourChoice = "similar") -> None:
        self._tables, self._choice = tables, choice
        self._rows: dict[_Key, _Rows] | None = None
        self._repositories: OrderedDict[_Key, _RepositoryFiles] = OrderedDict()
        self._kept = 0
        self._lock = threading.Lock()

    def of(self, document: Document, before: str) -> tuple[RepositoryChunk, ...]:
        """Parts of files other than the document's, to stand before it; what matters most is last.

        Args:
            before: the text before the cursor.
        """
        with self._lock:
            repository = self._repository((document.repository, _group(document.language)))
        return repository.parts(document.path, before)

    def _repository(self, key: _Key) -> _RepositoryFiles:
        found = self._repositories.pop(key, None)
        if found is None:
            found = _RepositoryFiles(self._files(key), key[1], self._choice)
            self._kept += len(found)
        self._repositories[key] = found
        while len(self._repositories) > 1 and (self._kept > _KEPT or len(self._repositories) > _MOST_KEPT):
            self._kept -= len(self._repositories.popitem(last=False)[1])
        return found

    def _files(self, key: _Key) -> dict[str, str]:
        if self._rows is None:
            found: dict[_Key, _Rows] = defaultdict(list)
            for number, table in enumerate(self._tables):
                columns = (table.values(column) for column in ("repository", "language"))
                for row, (repository, language) in enumerate(zip(*columns, strict=True)):
                    found[repository, _group(language)].append((number, row))
            self._rows = dict(found)
        rows = self._rows.get(key, [])
        chosen = rows[:: max(1, -(-len(rows) // MOST_FILES))]
        documents = (self._tables[number][row] for number, row in chosen)
        return {each.path: each.text for each in documents if len(each.text) <= LARGEST}

    def __getstate__(self) -> dict[str, Any]:
        # A copy in another process reads again: syntax trees can be too deep to be pickled.
        return {**self.__dict__, "_repositories": OrderedDict(), "_kept": 0, "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())


def _group(language: str) -> str:
    """The languages whose files are read together."""
    return READ_WITH.get(language, language)
