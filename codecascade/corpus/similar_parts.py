"""Parts of other files that resemble what is before the cursor, as RepoBench and CrossCodeEval retrieve them.

A file is cut into parts of a few lines. A part's similarity is the Jaccard index of its words and those of the last
lines before the cursor. What a user of an editor plug-in gets is seldom more than this.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice

from codecascade.tokens.repository import RepositoryChunk

_WORD = re.compile(r"[^\W\d]\w*")
_PART_LINES = 10
_QUERY_LINES = 10
MOST_FILES = 2_000
"""Of a larger repository so many files are read, evenly spaced."""
LARGEST = 500_000
"""Bytes of a file, or characters of a document. Larger ones are mostly data, or made by a program."""
_LONGEST_PART = 2_000
"""Characters; lines that are longer are data, for which a prompt has no room."""


def words(text: str) -> frozenset[str]:
    """The different words of a text."""
    return frozenset(_WORD.findall(text))


def jaccard(first: frozenset[str], second: frozenset[str]) -> float:
    """The words that both have, as a share of those that either has; 0 where both have none."""
    union = len(first | second)
    return len(first & second) / union if union else 0.0


def query_words(prefix: str) -> frozenset[str]:
    """The words of the last lines before the cursor."""
    return words("\n".join(prefix.splitlines()[-_QUERY_LINES:]))


def by_similarity(query: frozenset[str], chunks: Iterable[RepositoryChunk]) -> list[RepositoryChunk]:
    """The chunks in an order in which the most similar one comes last, next to the cursor's file."""
    return sorted(chunks, key=lambda chunk: jaccard(query, words(chunk.text)))


class PartIndex:
    """The parts of the files of a repository; of a very large one, of 2,000 files that are evenly spaced.

    Args:
        most: so many parts are kept, evenly spaced; None for all.
    """

    def __init__(self, files: Mapping[str, str], most: int | None = None) -> None:
        step = -(-len(files) // MOST_FILES)
        chosen = dict(islice(files.items(), 0, None, max(1, step)))
        total = sum(-(-(text.count("\n") + 1) // _PART_LINES) for text in chosen.values())
        every = 1 if most is None else max(1, -(-total // most))
        parts = islice(_parts(chosen), 0, None, every)
        self._parts = [(chunk, found) for chunk in parts if (found := words(chunk.text))]

    def __len__(self) -> int:
        return len(self._parts)

    def similar(
        self, query: frozenset[str], without: str, most: int, nearest: Collection[str] = ()
    ) -> Sequence[RepositoryChunk]:
        """The ``most`` most similar parts of files other than ``without``, the most similar one last.

        Args:
            nearest: paths of files whose parts come behind all others.
        """
        scored = (
            (chunk.path in nearest, jaccard(query, found), -number, chunk)
            for number, (chunk, found) in enumerate(self._parts)
            if chunk.path != without
        )
        best = heapq.nlargest(most, (each for each in scored if each[1] > 0), key=lambda each: each[:3])
        return [each[-1] for each in reversed(best)]


def _parts(files: Mapping[str, str]) -> Iterator[RepositoryChunk]:
    for path, text in files.items():
        lines = text.splitlines()
        for start in range(0, len(lines), _PART_LINES):
            part = "\n".join(lines[start : start + _PART_LINES]) + "\n"
            if len(part) <= _LONGEST_PART:
                yield RepositoryChunk(path, part)
