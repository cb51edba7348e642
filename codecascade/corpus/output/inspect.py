"""Looks into a finished corpus: counts, tokens per byte, samples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from codecascade.corpus.corpus import Corpus, DocumentTable
from codecascade.corpus.documents import KINDS, Document, text_bytes
from codecascade.corpus.manifest import DocumentCount
from codecascade.tokens.tokenizer import Tokenizer

_BYTES_FOR_A_RATE = 300_000
"""Bytes of text that are tokenized for each language; that gives the rate to about 1 %."""


class LanguageRow(NamedTuple):
    """The counts of one language of one kind; ``train`` and ``heldout`` count documents."""

    kind: str
    language: str
    train: int
    heldout: int
    bytes: int
    tokens_per_byte: float | None


class Inspection(NamedTuple):
    """The result of :func:`inspect_corpus`."""

    rows: list[LanguageRow]
    samples: list[Document]


def inspect_corpus(
    corpus: Corpus, tokenizer: Tokenizer | None, *, language: str | None = None, samples: int = 2
) -> Inspection:
    """Counts from the manifest, tokens per byte of each language (on a sample of training documents), and samples.

    Args:
        language: only rows and samples of this language or kind.
        samples: the number of sample documents of each kind.

    Raises:
        UserError: the corpus has no such language, or a shard is broken.
    """
    rows, shown = [], []
    for kind in KINDS:
        if language in KINDS and language != kind:
            continue
        counts = {name: split.kinds.get(kind, {}) for name, split in corpus.manifest.splits.items()}
        table = corpus.documents("train", kind)
        by_language: dict[str, list[int]] = {}
        for index, name in enumerate(table.values("language")):
            by_language.setdefault(name, []).append(index)
        names = sorted({name for count in counts.values() for name in count})
        for name in names:
            if language is not None and language not in (kind, name):
                continue
            train, heldout = (counts[split].get(name, DocumentCount()) for split in ("train", "heldout"))
            rate = _rate(table, by_language.get(name, []), tokenizer) if tokenizer is not None else None
            rows.append(
                LanguageRow(kind, name, train.documents, heldout.documents, train.bytes + heldout.bytes, rate)
            )
        indexes = [
            index
            for name, own in sorted(by_language.items())
            if language in (None, kind, name)
            for index in own
        ]
        shown += [table[index] for index in _spread_out(indexes, samples)]
    if language is not None and not rows:
        # Raises an error that lists the languages of the corpus.
        corpus.documents("train", language)
    return Inspection(sorted(rows, key=lambda row: (KINDS.index(row.kind), -row.bytes)), shown)


def _rate(table: DocumentTable, indexes: list[int], tokenizer: Tokenizer) -> float | None:
    tokens = size = 0
    for index in _spread_out(indexes, 200):
        document = table[index]
        tokens += len(tokenizer.encode(document.text))
        size += text_bytes(document)
        if size >= _BYTES_FOR_A_RATE:
            break
    return tokens / size if size else None


def _spread_out(indexes: list[int], count: int) -> Iterator[int]:
    step = max(1, len(indexes) // max(count, 1))
    return iter(indexes[::step][:count])
