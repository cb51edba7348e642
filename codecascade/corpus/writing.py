"""Parquet shards in, and the temporary table that a build fills before it knows the split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from codecascade.corpus.documents import Document, size_of
from codecascade.corpus.manifest import Count, SplitManifest

SCHEMA = pa.schema([(name, pa.string()) for name in Document._fields])
GROUP_BYTES = 1_000_000
"""Text in a row group: what a reader must decompress to get at one document."""


class SplitWriter:
    """Writes one split as ``00000.parquet``, ``00001.parquet``... and counts what it writes.

    Row groups hold about ``GROUP_BYTES`` of text, so that a reader gets at any document in a millisecond or two.
    """

    def __init__(self, folder: Path, shard_bytes: int) -> None:
        folder.mkdir()
        self.folder = folder
        self.shard_bytes = shard_bytes
        self._waiting: list[Document] = []
        self._waiting_bytes = self._shard_size = self._shards = 0
        self._writer: pq.ParquetWriter | None = None
        self._ids = blake2b(digest_size=16)
        self._documents: Counter[tuple[str, str, str]] = Counter()  # by kind, language and licence
        self._bytes: Counter[tuple[str, str, str]] = Counter()

    def add(self, document: Document) -> None:
        size = size_of(document)
        group = document.kind, document.language, document.license
        self._documents[group] += 1
        self._bytes[group] += size
        self._ids.update(document.id.encode())
        self._waiting.append(document)
        self._waiting_bytes += size
        if self._waiting_bytes >= GROUP_BYTES:
            self._flush()

    def close(self) -> SplitManifest:
        """Finish the last shard; an empty split gets one shard without rows."""
        if self._waiting or not self._shards:
            self._flush()
        self._close_shard()
        kinds: dict[str, dict[str, Count]] = {}
        licenses: dict[str, Count] = {}
        for group, documents in sorted(self._documents.items()):
            kind, language, spdx = group
            count = Count(documents=documents, bytes=self._bytes[group])
            languages = kinds.setdefault(kind, {})
            languages[language] = languages.get(language, Count()) + count
            licenses[spdx] = licenses.get(spdx, Count()) + count
        return SplitManifest(
            total=Count(documents=self._documents.total(), bytes=self._bytes.total()),
            kinds=kinds,
            licenses=dict(sorted(licenses.items())),
            fingerprint=self._ids.hexdigest(),
        )

    def _flush(self) -> None:
        if self._writer is None:
            self._writer = pq.ParquetWriter(
                self.folder / f"{self._shards:05}.parquet",
                SCHEMA,
                compression="zstd",
                use_dictionary=["repository", "language", "license", "kind"],
            )
            self._shards += 1
        self._writer.write_table(as_table(self._waiting))
        self._shard_size += self._waiting_bytes
        self._waiting, self._waiting_bytes = [], 0
        if self._shard_size >= self.shard_bytes:
            self._close_shard()

    def _close_shard(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
            self._shard_size = 0


def as_table(documents: list[Document]) -> pa.Table:
    """Documents as an Arrow table with the corpus's columns."""
    columns = zip(*documents, strict=True) if documents else [()] * len(SCHEMA)
    return pa.table([pa.array(column, pa.string()) for column in columns], schema=SCHEMA)


def write_spool(documents: Iterable[Document], file: Path) -> None:
    """Documents to an uncompressed Arrow file, in bounded memory."""
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, SCHEMA) as writer:
        waiting: list[Document] = []
        size = 0
        for document in documents:
            waiting.append(document)
            size += size_of(document)
            if size >= GROUP_BYTES:
                writer.write_table(as_table(waiting))
                waiting, size = [], 0
        writer.write_table(as_table(waiting))


def read_spool(file: Path) -> Iterator[Document]:
    """The documents of :func:`write_spool`, from the memory-mapped file."""
    with pa.memory_map(str(file)) as source:
        reader = pa.ipc.open_file(source)
        for index in range(reader.num_record_batches):
            columns = reader.get_batch(index).to_pydict()
            for row in zip(*columns.values(), strict=True):
                yield Document(*row)
