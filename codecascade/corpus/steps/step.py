"""The interface of a step, and the counts between two steps.

A step takes a batch of documents and returns two: the documents that are kept, and a row of
:mod:`codecascade.corpus.output.dropped` for each of the others. It gets one batch at a time, so it gives the same
result in this process, in any number of workers, and on a cluster.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from codecascade.corpus.output import dropped


class StepOutcome(NamedTuple):
    """The result of a step for one batch."""

    kept: pa.RecordBatch
    """Columns of :data:`codecascade.corpus.documents.SCHEMA`."""
    dropped: pa.RecordBatch
    """Columns of :data:`codecascade.corpus.output.dropped.SCHEMA`."""
    replaced: Mapping[str, int] = MappingProxyType({})
    """The number of replacements by placeholder."""
    decoded: Mapping[str, int] = MappingProxyType({})
    """The number of decoded files by encoding."""


BatchFunction = Callable[[pa.RecordBatch], StepOutcome]
"""The function of a step: a batch in, its outcome out."""


class ReadyStep(NamedTuple):
    """A step with its settings applied, and its name in the tally and in ``dropped.parquet``."""

    name: str
    run: BatchFunction


def drop_documents(batch: pa.RecordBatch, step: str, reasons: Sequence[str | None]) -> StepOutcome:
    """The outcome of a step that drops the documents with a reason."""
    staying = pa.array([reason is None for reason in reasons], pa.bool_())
    leaving = batch.filter(pc.invert(staying))
    return StepOutcome(
        batch.filter(staying), dropped.dropped_rows(leaving, step, [r for r in reasons if r is not None])
    )


TallyKey = tuple[str, str, str, str]
"""Step, kind, language, licence."""


@dataclass
class StepTally:
    """The documents and bytes left after each step, by kind, language and licence."""

    documents: Counter[TallyKey] = field(default_factory=Counter)
    bytes: Counter[TallyKey] = field(default_factory=Counter)
    replaced: Counter[str] = field(default_factory=Counter)
    decoded: Counter[str] = field(default_factory=Counter)

    def add(self, step: str, batch: pa.RecordBatch | pa.Table, sizes: pa.Array | None = None) -> None:
        sizes = pc.binary_length(batch.column("text")) if sizes is None else sizes
        columns = [batch.column(name) for name in ("kind", "language", "license")]
        table = pa.table([*columns, sizes], ["kind", "language", "license", "bytes"])
        groups = table.group_by(["kind", "language", "license"], use_threads=False)
        for row in groups.aggregate([("bytes", "count"), ("bytes", "sum")]).to_pylist():
            key = (step, row["kind"], row["language"], row["license"])
            self.documents[key] += row["bytes_count"]
            self.bytes[key] += row["bytes_sum"]

    def update(self, other: StepTally) -> None:
        self.documents.update(other.documents)
        self.bytes.update(other.bytes)
        self.replaced.update(other.replaced)
        self.decoded.update(other.decoded)

    def as_json(self) -> dict[str, Any]:
        return {
            "left": [[*key, count, self.bytes[key]] for key, count in sorted(self.documents.items())],
            "replaced": dict(sorted(self.replaced.items())),
            "decoded": dict(sorted(self.decoded.items())),
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> StepTally:
        tally = cls()
        for step, kind, language, spdx, documents, size in value["left"]:
            tally.documents[step, kind, language, spdx] = documents
            tally.bytes[step, kind, language, spdx] = size
        tally.replaced.update(value["replaced"])
        tally.decoded.update(value["decoded"])
        return tally


def run_steps(
    batch: pa.RecordBatch, steps: Iterable[ReadyStep], tally: StepTally
) -> tuple[pa.RecordBatch, pa.Table]:
    """Run all steps on a batch: the documents that are kept, and the rows of those that are dropped."""
    dropped_batches = []
    for step in steps:
        outcome = step.run(batch)
        batch = outcome.kept
        dropped_batches.append(outcome.dropped)
        tally.replaced.update(outcome.replaced)
        tally.add(step.name, batch)
    return batch, pa.Table.from_batches(dropped_batches, dropped.SCHEMA)
