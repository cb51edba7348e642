"""Counts for the manifest of a corpus, and the rows of ``dropped.parquet`` for duplicates."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from codecascade.corpus.documents import KIND_TITLES
from codecascade.corpus.manifest import DocumentCount, SplitManifest, StepManifest
from codecascade.corpus.output.dropped import SCHEMA
from codecascade.corpus.steps.decontamination import STEP as BENCHMARK
from codecascade.corpus.steps.exact_dedup import STEP as EXACT
from codecascade.corpus.steps.near import STEP as NEAR
from codecascade.corpus.steps.step import StepTally
from codecascade.corpus.steps.table import step_names


def duplicate_rows(documents: pa.Table, pairs: pa.Table, exact: int) -> pa.Table:
    """The rows of ``dropped.parquet`` for duplicates.

    Args:
        documents: all documents before duplicates were removed.
        pairs: a row for each duplicate: the indices of the ``removed`` and of the ``kept`` document, and their
            ``similarity``.
        exact: the first so many pairs are exact duplicates; the others are near-duplicates.
    """
    removed, kept = documents.take(pairs["removed"]), documents.take(pairs["kept"])
    steps = [EXACT] * exact + [NEAR] * (len(pairs) - exact)
    reasons = ["the same"] * exact + ["nearly the same"] * (len(pairs) - exact)
    name_of_kept = pc.binary_join_element_wise(kept["repository"], kept["path"], "/")
    columns = {
        "path": removed["path"],
        "repository": removed["repository"],
        "step": pa.array(steps, pa.string()),
        "reason": pc.binary_join_element_wise(
            pa.array(reasons, pa.string()), _kind_titles(removed["kind"]), " "
        ),
        "kept": name_of_kept,
        "similarity": pc.cast(pairs["similarity"], pa.float32()),
        "kind": removed["kind"],
        "language": removed["language"],
        "license": removed["license"],
        "bytes": removed["bytes"],
        "beginning": pa.nulls(len(removed), pa.string()),
    }
    return pa.table(columns, schema=SCHEMA)


def _kind_titles(kinds: pa.ChunkedArray) -> pa.Array:
    codes = kinds.combine_chunks().dictionary_encode()
    titles = [KIND_TITLES[kind] for kind in codes.dictionary.to_pylist()]
    return pa.array(titles, pa.string()).take(codes.indices)


def step_manifests(tally: StepTally, reasons: Mapping[str, Mapping[str, int]]) -> list[StepManifest]:
    """For each step: how many documents were left after it, and how many it dropped for each reason.

    Args:
        tally: its keys are ``(step, kind, language, licence)``.
        reasons: by step, the number of dropped documents by reason.
    """
    steps = []
    names = {key[0] for key in tally.documents} | reasons.keys()
    for name in (name for name in step_names() if name in names):
        keys = sorted(key for key in tally.documents if key[0] == name)

        def sums(position: int, keys: list[tuple[str, str, str, str]] = keys) -> dict[str, DocumentCount]:
            counts: dict[str, DocumentCount] = {}
            for key in keys:
                one = DocumentCount(documents=tally.documents[key], bytes=tally.bytes[key])
                counts[key[position]] = counts.get(key[position], DocumentCount()) + one
            return dict(sorted(counts.items()))

        steps.append(
            StepManifest(
                step=name,
                left=sum(sums(1).values(), DocumentCount()),
                kinds=sums(1),
                languages=sums(2),
                licenses=sums(3),
                dropped=dict(reasons.get(name, {})),
            )
        )
    return steps


def cluster_sizes(pairs: pa.Table) -> dict[str, int]:
    """The number of clusters of duplicates by their size. A cluster is a kept document and its removed copies."""
    _, copies = np.unique(np.asarray(pairs["kept"]), return_counts=True)
    sizes, times = np.unique(copies + 1, return_counts=True)
    return {str(size): int(count) for size, count in zip(sizes, times, strict=True)}


def benchmark_matches(dropped: pa.Table) -> list[dict[str, str]]:
    """The documents that were removed because they contain a benchmark text."""
    found = dropped.filter(pc.equal(dropped["step"], BENCHMARK))
    columns = (found[name].to_pylist() for name in ("path", "repository", "reason"))
    return [
        {"path": path, "repository": repository, "benchmark": name}
        for path, repository, name in zip(*columns, strict=True)
    ]


def split_manifest(documents: pa.Table) -> SplitManifest:
    """The counts of one split, and a fingerprint: a hash of the ids of its documents, in order.

    Args:
        documents: a table with ``kind``, ``language``, ``license``, ``bytes`` and ``id``.
    """
    groups = documents.group_by(["kind", "language", "license"], use_threads=False)
    kinds: dict[str, dict[str, DocumentCount]] = {}
    licenses: dict[str, DocumentCount] = {}
    rows: list[dict[str, Any]] = groups.aggregate([("bytes", "count"), ("bytes", "sum")]).to_pylist()
    for row in sorted(rows, key=lambda row: (row["kind"], row["language"], row["license"])):
        count = DocumentCount(documents=row["bytes_count"], bytes=row["bytes_sum"])
        languages = kinds.setdefault(row["kind"], {})
        languages[row["language"]] = languages.get(row["language"], DocumentCount()) + count
        licenses[row["license"]] = licenses.get(row["license"], DocumentCount()) + count
    digest = blake2b(digest_size=16)
    for chunk in documents["id"].chunks:
        digest.update("".join(chunk.to_pylist()).encode())
    return SplitManifest(
        total=sum(licenses.values(), DocumentCount()),
        kinds=kinds,
        licenses=dict(sorted(licenses.items())),
        fingerprint=digest.hexdigest(),
    )
