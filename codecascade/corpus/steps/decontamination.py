"""Keeps benchmark texts out of the corpus, so that the problems are new to a model that is evaluated on them.

Texts are reduced to lower-case letters and digits, so that spacing, case, punctuation and quoting make no
difference, and compared by character n-grams. 50 characters are about ten words, the length that published
decontaminations use. A document is removed if it contains a given share of the n-grams of one benchmark text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from codecascade.corpus.reading.faults import FILE_ERRORS
from codecascade.corpus.sources.streams import decompressed
from codecascade.corpus.steps.step import BatchFunction, StepOutcome, drop_documents
from codecascade.ground.errors import UserError

STEP = "benchmark"
_NAMES = frozenset({"task_id", "entry_point", "name", "language", "id", "source_file"})

LENGTH = 50
"""Characters of an n-gram. A shorter benchmark text (``return x + y``) can't be distinguished from ordinary code."""

_BLOCK = 8
_RUN = (LENGTH - _BLOCK + 1) // _BLOCK
"""Every document that shares an n-gram has at least this many consecutive aligned blocks inside of it."""

_FACTOR = 0x9E3779B97F4A7C15
_LOWER = bytes(range(256)).lower()
_NOT_ALPHANUMERIC = bytes(byte for byte in range(256) if byte >= 128 or not chr(byte).isalnum())


@dataclass(frozen=True)
class BenchmarkTexts:
    """The texts to keep out of a corpus, and which benchmarks they cover."""

    texts: Mapping[str, str] = field(default_factory=dict)
    """Texts by the name that ``dropped.parquet`` shows for a removed document."""
    checked: tuple[str, ...] = ()
    """Names of the benchmarks and files that the texts come from."""
    unchecked: tuple[str, ...] = ()
    """Names of benchmarks whose texts were not available."""


NO_BENCHMARKS = BenchmarkTexts()


class BenchmarkIndex:
    """An index of benchmark texts; it needs 12 bytes of memory for each character.

    Args:
        texts: ``{name: text}``; the name appears in the manifest for each removed document.
        overlap: the share of a text's n-grams from which a document counts as containing it.
    """

    def __init__(self, texts: Mapping[str, str], overlap: float) -> None:
        self.overlap = overlap
        self.too_short = too_short_texts(texts)
        self._names: list[str] = []
        sizes: list[int] = []
        own: list[NDArray[np.uint64]] = [np.empty(0, np.uint64)]
        blocks: set[bytes] = set()
        for name, text in texts.items():
            squeezed = squeeze(text)
            found = ngram_hashes(squeezed)
            if not len(found):
                continue
            self._names.append(name)
            sizes.append(len(found))
            own.append(found)
            blocks.update(squeezed[i : i + _BLOCK] for i in range(len(squeezed) - _BLOCK + 1))
        self._sizes = np.array(sizes, np.int64)
        every = np.concatenate(own)
        order = np.argsort(every, kind="stable")
        self._grams = every[order]
        self._owners = np.repeat(np.arange(len(sizes), dtype=np.int32), self._sizes)[order]
        self._blocks = np.sort(_as_integers(b"".join(blocks)))

    def shares(self, text: str) -> dict[str, float]:
        """For each benchmark text that shares n-grams with ``text``: the share of its n-grams that ``text``
        contains."""
        shared, _ = self._shared(text)
        return {self._names[i]: float(shared[i] / self._sizes[i]) for i in np.flatnonzero(shared).tolist()}

    def shares_of_shorter(self, text: str) -> dict[str, float]:
        """For each benchmark text that shares n-grams with ``text``: how many, as a share of the n-grams of the one
        that has fewer. It finds a text that is a part of a benchmark's too."""
        shared, own = self._shared(text)
        sizes = np.minimum(self._sizes, own)
        return {self._names[i]: float(shared[i] / sizes[i]) for i in np.flatnonzero(shared).tolist()}

    def _shared(self, text: str) -> tuple[NDArray[np.int64], int]:
        """How many n-grams of ``text`` each benchmark text has, and how many ``text`` has itself."""
        squeezed = squeeze(text)
        if not self._names or not self._may_share(squeezed):
            return np.empty(0, np.int64), 0
        found = ngram_hashes(squeezed)
        first = np.searchsorted(self._grams, found, "left")
        times = np.searchsorted(self._grams, found, "right") - first
        positions = np.repeat(first - np.cumsum(times) + times, times) + np.arange(times.sum())
        return np.bincount(self._owners[positions], minlength=len(self._names)), len(found)

    def match(self, text: str) -> str | None:
        """The benchmark text that ``text`` contains most of, if it is enough to remove the document; else None."""
        shares = self.shares(text)
        best = max(shares, key=lambda name: (shares[name], name), default=None)
        return best if best is not None and shares[best] >= self.overlap else None

    def _may_share(self, squeezed: bytes) -> bool:
        """Whether enough consecutive blocks are known. This quick test dismisses nearly all documents."""
        blocks = _as_integers(squeezed[: len(squeezed) // _BLOCK * _BLOCK])
        if len(blocks) < _RUN:
            return False
        positions = np.minimum(np.searchsorted(self._blocks, blocks), len(self._blocks) - 1)
        known = self._blocks[positions] == blocks
        return bool(np.convolve(known, np.ones(_RUN), "valid").max() >= _RUN)


def too_short_texts(texts: Mapping[str, str]) -> list[str]:
    """The names of the texts without a single n-gram, which can't be looked for."""
    return [name for name, text in texts.items() if len(squeeze(text)) < LENGTH]


def benchmark_step(benchmarks: BenchmarkIndex) -> BatchFunction:
    """Drops the documents that contain a benchmark text; the reason is the name of that text."""

    def run(batch: pa.RecordBatch) -> StepOutcome:
        return drop_documents(
            batch, STEP, [benchmarks.match(text) for text in batch.column("text").to_pylist()]
        )

    return run


def read_benchmark_file(path: Path, prefix: str = "") -> dict[str, str]:
    """The texts of a file to keep out of a corpus, by names that say where each text is.

    Of JSON lines, JSON lists of objects (both also compressed) and Parquet, every text field counts. Any other file
    is one text.

    Args:
        prefix: how the names begin, for records without a textual ``task_id``; "": the file's name.

    Raises:
        UserError: the file is missing, empty or broken.
    """
    prefix = prefix or path.name
    try:
        found = {key: value for key, value in _texts_of(path, prefix) if value.strip()}
    except FileNotFoundError:
        raise UserError("there is no such file to decontaminate against", file=path) from None
    except FILE_ERRORS as error:
        raise UserError(f"can't be read as benchmark texts ({error})", file=path) from None
    if not found:
        raise UserError("holds no text to decontaminate against", file=path)
    return found


def _texts_of(path: Path, prefix: str) -> Iterator[tuple[str, str]]:
    if path.name.endswith(".parquet"):
        records = pq.read_table(path).to_pylist()
    else:
        with open(path, "rb") as file:
            text = decompressed(file).read().decode("utf-8-sig")
        if re.search(r"\.(?:jsonl|ndjson)\b", path.name):
            records = [json.loads(line) for line in text.split("\n") if line.strip()]
        elif re.search(r"\.json\b", path.name) and isinstance(value := json.loads(text), list):
            records = value
        else:
            yield prefix, text
            return
    names: set[str] = set()
    for number, record in enumerate(records, 1):
        identity = record.get("task_id") if isinstance(record, dict) else None
        name = identity if isinstance(identity, str) else f"{prefix}/{identity or number}"
        # Several answers to one problem: all of them are kept out.
        if name in names:
            name = f"{name}#{number}"
        names.add(name)
        for key, value in _fields(record):
            yield f"{name}/{key}", value


def _fields(row: Any) -> Iterator[tuple[str, str]]:
    """The names and texts of the text fields of a row; a list (MBPP's tests) becomes one text."""
    for key, value in row.items() if isinstance(row, dict) else ():
        text = "\n".join(map(str, value)) if isinstance(value, list) else value
        if isinstance(text, str) and key not in _NAMES:
            yield key, text


def ngram_hashes(squeezed: bytes) -> NDArray[np.uint64]:
    """The hashes of the distinct n-grams of a squeezed text, ascending (polynomials modulo 2^64)."""
    windows = {1: np.frombuffer(squeezed, np.uint8).astype(np.uint64)}
    length = 1
    while 2 * length <= LENGTH:
        windows[2 * length] = _joined(windows[length], windows[length], length)
        length *= 2
    joined, missing = windows[length], LENGTH - length
    done = length
    for size in sorted(windows, reverse=True):
        if size <= missing:
            joined, missing = _joined(joined, windows[size], done), missing - size
            done += size
    return np.unique(joined)


def _joined(one: NDArray[np.uint64], other: NDArray[np.uint64], length: int) -> NDArray[np.uint64]:
    """Hashes of runs of ``length`` characters, each combined with the hash of the following run."""
    count = max(0, len(other) - length)
    return one[:count] * np.uint64(pow(_FACTOR, length, 1 << 64)) + other[length : length + count]


def squeeze(text: str) -> bytes:
    """The ASCII letters and digits of a text, in lower case.

    >>> squeeze("def Add(a, b):")
    b'defaddab'
    """
    return text.encode().translate(_LOWER, _NOT_ALPHANUMERIC)


def _as_integers(data: bytes) -> NDArray[np.uint64]:
    return np.frombuffer(data, dtype="<u8")
