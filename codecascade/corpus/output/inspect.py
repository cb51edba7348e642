"""A look into a corpus."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from codecascade.corpus.corpus import Corpus, DocumentTable
from codecascade.corpus.documents import KINDS, Document, size_of
from codecascade.corpus.manifest import Count
from codecascade.tokens.tokenizer import Tokenizer

_BYTES_FOR_A_RATE = 300_000
"""Text that is tokenized of each language: the rate is then known to about 1 %."""


class Row(NamedTuple):
    """One language of one kind; ``train`` and ``heldout`` are documents."""

    kind: str
    language: str
    train: int
    heldout: int
    bytes: int
    tokens_per_byte: float | None


class Inspection(NamedTuple):
    """What :func:`inspect_corpus` saw."""

    rows: list[Row]
    samples: list[Document]


def inspect_corpus(
    corpus: Corpus, tokenizer: Tokenizer | None, *, language: str | None = None, samples: int = 2
) -> Inspection:
    """Counts from the manifest, tokens per byte (of training documents spread over each language), sample documents.

    Args:
        language: a language or a kind that all rows and samples are of.
        samples: documents of each kind.

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
        for place, name in enumerate(table.values("language")):
            by_language.setdefault(name, []).append(place)
        names = sorted({name for count in counts.values() for name in count})
        for name in names:
            if language is not None and language not in (kind, name):
                continue
            train, heldout = (counts[split].get(name, Count()) for split in ("train", "heldout"))
            rate = _rate(table, by_language.get(name, []), tokenizer) if tokenizer is not None else None
            rows.append(
                Row(kind, name, train.documents, heldout.documents, train.bytes + heldout.bytes, rate)
            )
        places = [
            place
            for name, own in sorted(by_language.items())
            if language in (None, kind, name)
            for place in own
        ]
        shown += [table[place] for place in _spread(places, samples)]
    if language is not None and not rows:
        corpus.documents("train", language)  # says what there is
    return Inspection(sorted(rows, key=lambda row: (KINDS.index(row.kind), -row.bytes)), shown)


def _rate(table: DocumentTable, places: list[int], tokenizer: Tokenizer) -> float | None:
    tokens = size = 0
    for place in _spread(places, 200):
        document = table[place]
        tokens += len(tokenizer.encode(document.text))
        size += size_of(document)
        if size >= _BYTES_FOR_A_RATE:
            break
    return tokens / size if size else None


def _spread(places: list[int], count: int) -> Iterator[int]:
    step = max(1, len(places) // max(count, 1))
    return iter(places[::step][:count])
