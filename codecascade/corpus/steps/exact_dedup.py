"""Finds exact duplicates, and ranks documents by which copy is kept. Near-duplicates are in :mod:`.near`.

Of several copies, the one of the kind that comes first in Table 1 is kept (code before prose derived from it). Then
a permissive licence decides, then the more complete repository (the one with more documents left), then repository
and path. A rule about repositories keeps the files of one repository together.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from codecascade.corpus.documents import KINDS
from codecascade.corpus.reading.licenses import UNKNOWN, is_permissive
from codecascade.corpus.steps.near import REMOVED

STEP = "exact duplicate"

Numbers = NDArray[np.int64]


def preference_ranks(
    kind: pa.ChunkedArray, spdx: pa.ChunkedArray, repository: pa.ChunkedArray, path: pa.ChunkedArray
) -> Numbers:
    """(n,) the rank of every document; of a group of copies the lowest rank is kept."""
    kinds = _by_value(kind, lambda value: KINDS.index(value))
    licences = _by_value(spdx, lambda value: 0 if is_permissive(value) else 1 if value == UNKNOWN else 2)
    codes = repository.combine_chunks().dictionary_encode()
    completeness = np.bincount(codes.indices.to_numpy(), minlength=len(codes.dictionary))
    table = pa.table(
        {
            "kind": kinds,
            "licence": licences,
            "completeness": -completeness[codes.indices.to_numpy()] if len(codes) else np.empty(0, np.int64),
            "repository": repository,
            "path": path,
            "number": np.arange(len(kind)),
        }
    )
    order = np.asarray(pc.sort_indices(table, [(name, "ascending") for name in table.column_names]), np.int64)
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.arange(len(order))
    return ranks


def _by_value(column: pa.ChunkedArray, value_of: Any) -> Numbers:
    codes = column.combine_chunks().dictionary_encode()
    values = np.array([value_of(value) for value in codes.dictionary.to_pylist()], np.int64)
    return values[codes.indices.to_numpy()] if len(codes) else np.empty(0, np.int64)


def exact_duplicates(ids: pa.ChunkedArray, ranks: Numbers) -> pa.Table:
    """The documents that differ from a better ranked one only in white space, as a table of ``REMOVED``.

    Args:
        ids: (n,) content hashes.
        ranks: (n,) distinct.
    """
    codes = ids.combine_chunks().dictionary_encode().indices.to_numpy()
    best = np.full(codes.max(initial=-1) + 1, -1, np.int64)
    descending = np.argsort(-ranks, kind="stable")
    # Later writes win, so the best rank of each group remains.
    best[codes[descending]] = descending
    kept = best[codes]
    removed = np.flatnonzero(kept != np.arange(len(codes)))
    return pa.table([removed, kept[removed], np.ones(len(removed))], schema=REMOVED)


def resolve_chains(exact: pa.Table, near: pa.Table) -> pa.Table:
    """Both tables in one, in which each removed document points to one that is kept.

    The kept copy of an exact duplicate may itself be removed as a near-duplicate; then the pointer is moved on.
    """
    goes_to = dict(
        zip(
            near["removed"].to_pylist(),
            zip(near["kept"].to_pylist(), near["similarity"].to_pylist(), strict=True),
            strict=True,
        )
    )
    kept = [goes_to.get(number, (number, 1.0)) for number in exact["kept"].to_pylist()]
    moved = pa.table(
        [
            exact["removed"],
            pa.array([one for one, _ in kept], pa.int64()),
            pa.array([s for _, s in kept], pa.float64()),
        ],
        schema=REMOVED,
    )
    return pa.concat_tables([moved, near])
