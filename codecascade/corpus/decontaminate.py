"""Benchmark texts are kept out of the corpus: their problems must be new to a model that is measured on them.

Texts are compared as runs of lower-case letters and digits, so that spacing, case, punctuation and quoting make no
difference, by their n-grams of characters: 50 of them are about ten words, the length that published
decontaminations use. A document goes when it holds a set share of one benchmark text's n-grams.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from codecascade.corpus.steps import Outcome, Step, drop
from codecascade.errors import UserError

STEP = "benchmark"
_NAMES = frozenset({"task_id", "entry_point", "name", "language", "id", "source_file"})

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


def benchmark_step(benchmarks: Benchmarks) -> Step:
    """Drops the documents that contain a benchmark text; the reason is the text's name."""

    def run(batch: pa.RecordBatch) -> Outcome:
        return drop(batch, STEP, [benchmarks.match(text) for text in batch.column("text").to_pylist()])

    return Step(STEP, run)


def read_benchmark_file(path: Path) -> dict[str, str]:
    """The texts of a file to keep out of a corpus, by names that tell where they stand.

    Every field of text of JSON lines (also compressed) and every column of text of Parquet counts; any other file is
    one text.

    Raises:
        UserError: it is missing, empty or broken.
    """
    name = path.name
    try:
        if name.endswith(".parquet"):
            table = pq.read_table(path)
            found = {
                f"{name}:{number}/{key}": value
                for number, row in enumerate(table.to_pylist(), 1)
                for key, value in _fields(row)
            }
        elif ".jsonl" in name or name.endswith(".ndjson"):
            found = {}
            with fsspec.open(str(path), "rt", encoding="utf-8", compression="infer") as lines:
                for number, line in enumerate(lines, 1):
                    if line.strip():
                        row = json.loads(line)
                        prefix = (
                            str(row.get("task_id") or f"{name}:{number}")
                            if isinstance(row, dict)
                            else f"{name}:{number}"
                        )
                        found |= {f"{prefix}/{key}": value for key, value in _fields(row)}
        else:
            found = {name: path.read_text(encoding="utf-8")}
    except FileNotFoundError:
        raise UserError("there is no such file to decontaminate against", file=path) from None
    except (OSError, EOFError, ValueError, pa.ArrowException) as error:
        raise UserError(f"can't be read as benchmark texts ({error})", file=path) from None
    found = {key: value for key, value in found.items() if value.strip()}
    if not found:
        raise UserError("holds no text to decontaminate against", file=path)
    return found


def _fields(row: Any) -> Iterator[tuple[str, str]]:
    """Names and texts of a row; of lists (MBPP's tests) all entries as one text."""
    for key, value in row.items() if isinstance(row, dict) else ():
        text = "\n".join(map(str, value)) if isinstance(value, list) else value
        if isinstance(text, str) and key not in _NAMES:
            yield key, text


def squeeze(text: str) -> bytes:
    """The ASCII letters and digits of a text, in lower case.

    >>> squeeze("def Add(a, b):")
    b'defaddab'
    """
    return text.encode().translate(_LOWER, _NOT_ALPHANUMERIC)


def _as_integers(data: bytes) -> NDArray[np.uint64]:
    return np.frombuffer(data, dtype="<u8")
