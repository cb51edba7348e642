"""Exact deduplication."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from codecascade.corpus.documents import Document
from codecascade.corpus.dropped import Dropped


def keep_first(documents: Iterable[Document], dropped: Dropped) -> Iterator[Document]:
    """The first of every set of documents that differ in nothing but white space (their ids are equal)."""
    seen: set[bytes] = set()
    for document in documents:
        key = bytes.fromhex(document.id)
        if key in seen:
            dropped.add("exact duplicate", document.kind)
        else:
            seen.add(key)
            yield document
