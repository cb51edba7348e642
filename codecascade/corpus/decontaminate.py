"""Benchmark texts are kept out of the corpus: their problems must be new to a model that is measured on them.

Texts are compared as runs of lower-case letters and digits, so that spacing, case, punctuation and quoting make no
difference, by their n-grams of characters: 50 of them are about ten words, the length that published
decontaminations use. A document goes when it holds a set share of one benchmark text's n-grams.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from codecascade.corpus.documents import Document
from codecascade.corpus.dropped import Dropped

LENGTH = 50
"""Characters of an n-gram. A benchmark text without so many (``return x + y``) can't be told from any code."""

_BLOCK = 8
_RUN = (LENGTH - _BLOCK + 1) // _BLOCK
"""So many aligned blocks in a row of any document that shares an n-gram lie within it."""

_LOWER = bytes(range(256)).lower()
_NOT_ALPHANUMERIC = bytes(byte for byte in range(256) if byte >= 128 or not chr(byte).isalnum())


class Benchmarks:
    """An index over benchmark texts.

    Args:
        texts: ``{name: text}``; a name is what the manifest will say of a removed document.
        overlap: the share of a text's n-grams from which a document counts as containing it.
    """

    def __init__(self, texts: Mapping[str, str], overlap: float) -> None:
        self.overlap = overlap
        self.too_short: list[str] = []
        self._sizes: dict[str, int] = {}
        self._owners: dict[bytes, list[str]] = {}
        blocks: set[bytes] = set()
        for name, text in texts.items():
            squeezed = squeeze(text)
            grams = {squeezed[i : i + LENGTH] for i in range(len(squeezed) - LENGTH + 1)}
            if not grams:
                self.too_short.append(name)
                continue
            self._sizes[name] = len(grams)
            for gram in grams:
                self._owners.setdefault(gram, []).append(name)
            blocks.update(squeezed[i : i + _BLOCK] for i in range(len(squeezed) - _BLOCK + 1))
        self._blocks = np.sort(_as_integers(b"".join(blocks)))

    def shares(self, text: str) -> dict[str, float]:
        """Of each benchmark text that ``text`` shares n-grams with, the share of its n-grams that it holds."""
        squeezed = squeeze(text)
        if not self._sizes or not self._may_share(squeezed):
            return {}
        grams = {squeezed[i : i + LENGTH] for i in range(len(squeezed) - LENGTH + 1)}
        shared = Counter(name for gram in grams & self._owners.keys() for name in self._owners[gram])
        return {name: count / self._sizes[name] for name, count in shared.items()}

    def match(self, text: str) -> str | None:
        """The benchmark text that ``text`` contains most of, if that is enough to drop it."""
        shares = self.shares(text)
        best = max(shares, key=lambda name: (shares[name], name), default=None)
        return best if best is not None and shares[best] >= self.overlap else None

    def _may_share(self, squeezed: bytes) -> bool:
        """Whether enough neighbouring blocks are known: lets nearly every document off at memory speed."""
        blocks = _as_integers(squeezed[: len(squeezed) // _BLOCK * _BLOCK])
        if len(blocks) < _RUN:
            return False
        places = np.minimum(np.searchsorted(self._blocks, blocks), len(self._blocks) - 1)
        known = self._blocks[places] == blocks
        return bool(np.convolve(known, np.ones(_RUN), "valid").max() >= _RUN)


def keep_clean(documents: Iterable[Document], benchmarks: Benchmarks, dropped: Dropped) -> Iterator[Document]:
    """The documents that contain no benchmark text; the others are listed with the text that they contain."""
    for document in documents:
        name = benchmarks.match(document.text)
        if name is None:
            yield document
        else:
            dropped.add("benchmark", name)
            dropped.benchmark_matches.append(
                {"path": document.path, "repository": document.repository, "benchmark": name}
            )


def squeeze(text: str) -> bytes:
    """The ASCII letters and digits of a text, in lower case.

    >>> squeeze("def Add(a, b):")
    b'defaddab'
    """
    return text.encode().translate(_LOWER, _NOT_ALPHANUMERIC)


def _as_integers(data: bytes) -> NDArray[np.uint64]:
    return np.frombuffer(data, dtype="<u8")
