"""Parts of other files of a document's repository, as an editor's plug-in sends them before the cursor's file.

They are those most like the lines before the cursor. Parts of the files that it imports may stand nearest: so
DeepSeek-Coder's training documents were ordered (Guo et al. 2024, section 2.2), each file behind those that it uses.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, Protocol

from codecascade.corpus.documents import Document
from codecascade.corpus.imports import READ_WITH, RepositoryPaths
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

NeighbourChoice = Literal["similar", "imported"]
"""The parts most like the lines before the cursor; imported: those of files that are imported there stand nearest."""
_Key = tuple[str, str]
_Rows = list[tuple[int, int]]


def check_neighbours(choice: NeighbourChoice, share: float) -> None:
    """Raises ValueError if other files than by default are chosen, and none are shown."""
    if choice != "similar" and not share:
        raise ValueError(f"neighbours is {choice}, but neighbour_share is 0, so that no other file is shown")


class RepositoryTable(Protocol):
    """Documents with their repositories: :class:`codecascade.corpus.corpus.DocumentTable`."""

    def __getitem__(self, index: int, /) -> Document: ...

    def values(self, column: str) -> Sequence[str]:
        """One column of all documents."""
        ...


class _Repository(NamedTuple):
    parts: PartIndex
    paths: RepositoryPaths


class Neighbours:
    """The files of some tables, by repository and language.

    Which documents a repository has is kept in memory, and so are the parts of the repositories that were used last.
    So this is for a corpus of some repositories, not for one of a hundred million files.
    """

    def __init__(self, tables: Sequence[RepositoryTable], choice: NeighbourChoice = "similar") -> None:
        self._tables, self._choice = tables, choice
        self._rows: dict[_Key, _Rows] | None = None
        self._repositories: OrderedDict[_Key, _Repository] = OrderedDict()
        self._kept = 0
        self._lock = threading.Lock()

    def of(self, document: Document, before: str) -> tuple[RepositoryChunk, ...]:
        """Parts of files other than the document's, to stand before it; what matters most is last.

        Args:
            before: all text of the document before the gap. Nothing else of it is read, so that what is shown tells
                nothing of the gap.
        """
        with self._lock:
            repository = self._repository((document.repository, self._group(document.language)))
        nearest: frozenset[str] = frozenset()
        if self._choice == "imported":
            nearest = repository.paths.imported(before, document.path, document.language)
        return tuple(repository.parts.similar(query_words(before), document.path, _MOST, nearest))

    def _group(self, language: str) -> str:
        """The languages whose files are shown to each other."""
        return READ_WITH.get(language, language) if self._choice == "imported" else language

    def _repository(self, key: _Key) -> _Repository:
        found = self._repositories.pop(key, None)
        if found is None:
            found = self._read(key)
            self._kept += len(found.parts)
        self._repositories[key] = found
        while len(self._repositories) > 1 and (self._kept > _KEPT or len(self._repositories) > _MOST_KEPT):
            self._kept -= len(self._repositories.popitem(last=False)[1].parts)
        return found

    def _read(self, key: _Key) -> _Repository:
        if self._rows is None:
            found: dict[_Key, _Rows] = defaultdict(list)
            for number, table in enumerate(self._tables):
                columns = (table.values(column) for column in ("repository", "language"))
                for row, (repository, language) in enumerate(zip(*columns, strict=True)):
                    found[repository, self._group(language)].append((number, row))
            self._rows = dict(found)
        rows = self._rows.get(key, [])
        chosen = rows[:: max(1, -(-len(rows) // MOST_FILES))]
        documents = (self._tables[number][row] for number, row in chosen)
        files = {each.path: each.text for each in documents if len(each.text) <= LARGEST}
        # Only parts of files that are read can be shown.
        return _Repository(PartIndex(files, _MOST_PARTS), RepositoryPaths(files))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())
