"""Counts for the manifest, and the rows of removed duplicates."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from codecascade.corpus.documents import KIND_TITLES
from codecascade.corpus.manifest import DocumentCount, SplitManifest, StepManifest
from codecascade.corpus.output import dropped as account
from codecascade.corpus.steps.decontamination import STEP as BENCHMARK
from codecascade.corpus.steps.exact_dedup import STEP as EXACT
from codecascade.corpus.steps.near import STEP as NEAR
from codecascade.corpus.steps.step import StepTally
from codecascade.corpus.steps.table import step_names


def removed_rows(documents: pa.Table, removed: pa.Table, exact: int) -> pa.Table:
    """The rows of ``dropped.parquet`` for duplicates; the first ``exact`` of them are exact duplicates."""
    gone, stays = documents.take(removed["removed"]), documents.take(removed["kept"])
    steps = [EXACT] * exact + [NEAR] * (len(removed) - exact)
    words = ["the same"] * exact + ["nearly the same"] * (len(removed) - exact)
    kept = pc.binary_join_element_wise(stays["repository"], stays["path"], "/")
    columns = {
        "path": gone["path"],
        "repository": gone["repository"],
        "step": pa.array(steps, pa.string()),
        "reason": pc.binary_join_element_wise(pa.array(words, pa.string()), _kind_words(gone["kind"]), " "),
        "kept": kept,
        "similarity": pc.cast(removed["similarity"], pa.float32()),
        "kind": gone["kind"],
        "language": gone["language"],
        "license": gone["license"],
        "bytes": gone["bytes"],
        "beginning": pa.nulls(len(gone), pa.string()),
    }
    return pa.table(columns, schema=account.SCHEMA)


def _kind_words(kinds: pa.ChunkedArray) -> pa.Array:
    codes = kinds.combine_chunks().dictionary_encode()
    words = [KIND_TITLES[kind] for kind in codes.dictionary.to_pylist()]
    return pa.array(words, pa.string()).take(codes.indices)


def step_manifests(tally: StepTally, reasons: Mapping[str, Mapping[str, int]]) -> list[StepManifest]:
    """For each step: the documents left after it, and how many it dropped for which reason."""
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


def cluster_sizes(removed: pa.Table) -> dict[str, int]:
    """How many kept documents had how many copies, the kept one included."""
    _, copies = np.unique(np.asarray(removed["kept"]), return_counts=True)
    sizes, times = np.unique(copies + 1, return_counts=True)
    return {str(size): int(count) for size, count in zip(sizes, times, strict=True)}


def benchmark_matches(left_out: pa.Table) -> list[dict[str, str]]:
    """The documents that were removed because they contain a benchmark text."""
    found = left_out.filter(pc.equal(left_out["step"], BENCHMARK))
    columns = (found[name].to_pylist() for name in ("path", "repository", "reason"))
    return [
        {"path": path, "repository": repository, "benchmark": name}
        for path, repository, name in zip(*columns, strict=True)
    ]


def split_manifest(documents: pa.Table) -> SplitManifest:
    """The counts of one split; ``documents`` has ``kind``, ``language``, ``license``, ``bytes`` and ``id``."""
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
