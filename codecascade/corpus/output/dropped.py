"""The rows of ``dropped.parquet``: everything that a build left out, with the reason."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        ("repository", pa.string()),
        ("step", pa.string()),
        ("reason", pa.string()),
        # Of a duplicate: repository and path of the kept copy.
        ("kept", pa.string()),
        # Of a duplicate: the Jaccard similarity to that copy.
        ("similarity", pa.float32()),
        ("kind", pa.string()),
        ("language", pa.string()),
        ("license", pa.string()),
        ("bytes", pa.int64()),
        # The beginning of the text, which the corpus's HTML page shows as a sample; not in dropped.parquet.
        ("beginning", pa.string()),
    ]
)
BEGINNING = 800
"""Characters."""


class Dropped:
    """Collects rows of :data:`SCHEMA`, one for each file, row or document that a step left out."""

    def __init__(self) -> None:
        self._rows: list[tuple[Any, ...]] = []
        self._batches: list[pa.RecordBatch] = []

    def add(
        self,
        step: str,
        reason: str,
        path: str = "",
        repository: str = "",
        *,
        kind: str = "",
        language: str = "",
        # Named like the columns.
        license: str = "",  # noqa: A002
        bytes: int = 0,  # noqa: A002
    ) -> None:
        self._rows.append((path, repository, step, reason, None, None, kind, language, license, bytes, None))
        if len(self._rows) >= 20_000:
            self._flush()

    def table(self) -> pa.Table:
        self._flush()
        return pa.Table.from_batches(self._batches, SCHEMA)

    def _flush(self) -> None:
        if self._rows:
            columns = [
                pa.array([storable_text(value) for value in column], field.type)
                for column, field in zip(zip(*self._rows, strict=True), SCHEMA, strict=True)
            ]
            self._batches.append(pa.record_batch(columns, SCHEMA))
            self._rows = []


def dropped_rows(batch: pa.RecordBatch, step: str, reasons: Iterable[str]) -> pa.RecordBatch:
    """Rows of :data:`SCHEMA` for documents (a batch or a table of :data:`~codecascade.corpus.documents.SCHEMA`)."""
    count = batch.num_rows
    return pa.record_batch(
        [
            batch.column("path"),
            batch.column("repository"),
            pa.array([step] * count, pa.string()),
            pa.array(reasons, pa.string()),
            pa.nulls(count, pa.string()),
            pa.nulls(count, pa.float32()),
            batch.column("kind"),
            batch.column("language"),
            batch.column("license"),
            pc.cast(pc.binary_length(batch.column("text")), pa.int64()),
            pc.utf8_slice_codeunits(batch.column("text"), 0, BEGINNING),
        ],
        SCHEMA,
    )


def no_rows() -> pa.RecordBatch:
    """An empty batch of :data:`SCHEMA`."""
    return pa.RecordBatch.from_pylist([], SCHEMA)


def by_step(dropped: pa.Table) -> dict[str, dict[str, int]]:
    """``{step: {reason: number of rows}}``, the most frequent reasons first."""
    groups = dropped.group_by(["step", "reason"], use_threads=False).aggregate([([], "count_all")])
    counted = [(row["step"], -row["count_all"], row["reason"]) for row in groups.to_pylist()]
    table: dict[str, dict[str, int]] = {}
    for step, negative, reason in sorted(counted):
        table.setdefault(step, {})[reason] = -negative
    return table


def frequent_reasons(dropped: pa.Table) -> str:
    """The five most frequent reasons as one phrase, for an error message."""
    reasons = [(count, reason) for step in by_step(dropped).values() for reason, count in step.items()]
    return (
        ", ".join(f"{count} x {reason}" for count, reason in sorted(reasons, reverse=True)[:5])
        or "no files at all"
    )


def storable_text(value: Any) -> Any:
    """``value`` with text made valid UTF-8, because file names may contain any bytes."""
    return (
        value.encode(errors="replace").decode() if isinstance(value, str) and not value.isascii() else value
    )
