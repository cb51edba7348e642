"""Opens a corpus folder and reads its documents on demand."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from codecascade.corpus.documents import KINDS, Document
from codecascade.corpus.manifest import NAME, DocumentCount, Manifest, read_manifest
from codecascade.ground.errors import UserError

SplitName = Literal["train", "heldout"]
CACHED_GROUPS = 256
"""Row groups kept decompressed in memory: about 256 MB, so that a small corpus is read from the disk once."""


def is_corpus(folder: str | Path) -> bool:
    """Whether a folder is a corpus that :func:`~codecascade.corpus.build.build_corpus` made, not source code."""
    # os.path returns False for a path that is too long; Path methods raise.
    return os.path.isfile(Path(folder, NAME)) and os.path.isdir(Path(folder, "train"))


class Corpus:
    """A corpus folder: its shards and its manifest."""

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest

    @classmethod
    def open(cls, path: str | Path) -> Corpus:
        """Open the corpus in a folder.

        Raises:
            UserError: the folder is not a corpus.
        """
        path = Path(path)
        if not is_corpus(path):
            raise UserError(
                "is not a corpus (a folder with train/, heldout/ and manifest.json); build one from source code",
                file=path,
            )
        return cls(path, read_manifest(path))

    def documents(self, split: SplitName = "train", source: str = "code") -> DocumentTable:
        """The documents of one split of one kind (``code``, ...) or in one language (``python``, ...).

        Raises:
            UserError: the corpus has no such kind or language in either split, or a shard is broken.
        """
        column = "kind" if source in KINDS else "language"
        if column == "language" and source not in self.languages():
            raise UserError(
                f"the corpus has no documents of {source!r}; it has {', '.join([*KINDS, *self.languages()])}",
                file=self.path,
            )
        part = self.manifest.splits[split]
        total = sum(
            (
                count
                for kind, languages in part.kinds.items()
                for language, count in languages.items()
                if source in (kind, language)
            ),
            DocumentCount(),
        )
        return DocumentTable(
            sorted(self.path.joinpath(split).glob("*.parquet")),
            column,
            source,
            total_bytes=total.bytes,
            fingerprint=blake2b(f"{part.fingerprint} {split} {source}".encode(), digest_size=16).hexdigest(),
        )

    def languages(self) -> list[str]:
        """The languages of the documents of both splits, sorted by name."""
        return sorted(
            {name for part in self.manifest.splits.values() for kind in part.kinds.values() for name in kind}
        )


class DocumentTable(Sequence[Document]):
    """The documents of some shards in which ``column`` equals ``value``; texts are read on demand.

    The shards are memory-mapped. When a document is read, its row group is decompressed (1 to 2 ms) and cached. A
    table can be shared between threads, and can be pickled.

    Attributes:
        total_bytes: bytes of all texts in UTF-8.
        fingerprint: equal for tables with the same documents in the same order.
    """

    def __init__(
        self, shards: Sequence[Path], column: str, value: str, *, total_bytes: int, fingerprint: str
    ) -> None:
        self.total_bytes = total_bytes
        self.fingerprint = fingerprint
        self._groups: list[tuple[Path, int]] = []
        starts, rows, start = [], [], 0
        for shard in shards:
            with opened_shard(shard) as file:
                matches = pc.equal(file.read(columns=[column]).column(0), value).to_numpy()
                rows.append(np.flatnonzero(matches) + start)
                for group in range(file.num_row_groups):
                    self._groups.append((shard, group))
                    starts.append(start)
                    start += file.metadata.row_group(group).num_rows
        self._starts: NDArray[np.int64] = np.array(starts, np.int64)
        self._rows: NDArray[np.int64] = np.concatenate([np.empty(0, np.int64), *rows])
        self._cache: OrderedDict[int, list[pa.Array]] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Document: ...
    @overload
    def __getitem__(self, index: slice) -> list[Document]: ...
    def __getitem__(self, index: int | slice) -> Document | list[Document]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        group, position = self._place(index)
        return Document(*(column[position].as_py() for column in self._columns(group)))

    def __iter__(self) -> Iterator[Document]:
        return (self[index] for index in range(len(self)))

    @property
    def shards(self) -> list[Path]:
        """Those that hold documents of this table, in order."""
        groups = np.unique(np.searchsorted(self._starts, self._rows, "right") - 1)
        return list(dict.fromkeys(self._groups[group][0] for group in groups.tolist()))

    def locate(self, index: int) -> tuple[Path, int, int]:
        """Where a document is: its shard, the number of the row group in it, and its position in the group."""
        group, position = self._place(index)
        return *self._groups[group], position

    def _place(self, index: int) -> tuple[int, int]:
        """The number of the document's row group, of all shards, and its position in the group."""
        row = self._rows[index]
        group = int(np.searchsorted(self._starts, row, "right")) - 1
        return group, int(row - self._starts[group])

    def values(self, column: str) -> list[str]:
        """One column of all documents, without reading their texts."""
        found: list[str] = []
        for shard in dict.fromkeys(shard for shard, _ in self._groups):
            with opened_shard(shard) as file:
                found += file.read(columns=[column]).column(0).to_pylist()
        return [found[row] for row in self._rows.tolist()]

    def _columns(self, group: int) -> list[pa.Array]:
        with self._lock:
            columns = self._cache.pop(group, None)
            if columns is None:
                shard, number = self._groups[group]
                with opened_shard(shard) as file:
                    table = file.read_row_group(number, columns=list(Document._fields))
                columns = [table.column(name).combine_chunks() for name in Document._fields]
                if len(self._cache) >= CACHED_GROUPS:
                    self._cache.popitem(last=False)
            self._cache[group] = columns
            return columns

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_cache": OrderedDict(), "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())


def sample_texts(corpus: Corpus, kinds: Sequence[str], characters: int) -> list[str]:
    """Training documents of these kinds, evenly spaced over the corpus, of about ``characters`` characters in
    total."""
    tables = [corpus.documents("train", kind) for kind in kinds]
    step = max(1, round(sum(table.total_bytes for table in tables) / characters))
    return [table[position].text for table in tables for position in range(0, len(table), step)]


@contextmanager
def opened_shard(shard: Path) -> Iterator[pq.ParquetFile]:
    """A shard, open for reading.

    Raises:
        UserError: it is broken, or something in the block could not read it.
    """
    try:
        with pq.ParquetFile(shard, memory_map=True) as file:
            yield file
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"is a broken shard ({error}); build the corpus again", file=shard) from None
