"""MinHash signatures of shingle sets, and their bands.

One-permutation hashing (Li, Owen and Zhang, 2012): hashes are distributed over ``BINS`` bins by their upper bits,
and the value of a bin is its smallest hash. An empty bin copies the first occupied bin along a permutation of its
own (optimal densification, Shrivastava 2017). Two sets agree in a bin with a probability equal to their Jaccard
similarity J. The sets are sorted, so the first hash of a bin is its smallest, and a signature costs one pass
instead of one per bin.

Sets that agree in a whole band of ``ROWS`` bins are candidates: 1 - (1 - J^6)^42 of the pairs, which is 0.995 at J
= 0.7 and more above. Pairs of much lower similarity are found, too; they do no harm, because each pair is checked
exactly.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from codecascade.corpus.steps.near.shingles import Hashes, Positions, ShingleSets, mixed

BANDS, ROWS = 42, 6
BINS = BANDS * ROWS

Signatures = NDArray[np.uint32]
SignatureBytes = NDArray[np.uint8]


def signatures(sets: ShingleSets) -> Signatures:
    """(n, BINS); the rows of empty sets have no meaning."""
    hashes, offsets = sets
    count = len(offsets) - 1
    bins = ((hashes >> np.uint64(32)) * np.uint64(BINS) >> np.uint64(32)).view(np.int64)
    bins += np.repeat(np.arange(0, count * BINS, BINS), np.diff(offsets))
    first = np.ones(len(bins), bool)
    np.not_equal(bins[1:], bins[:-1], out=first[1:])
    positions = bins[first]
    values = np.zeros(count * BINS, np.uint32)
    values[positions] = hashes[first].astype(np.uint32)
    occupied = np.zeros(count * BINS, bool)
    occupied[positions] = True
    has_shingles = np.diff(offsets) > 0
    empty = np.flatnonzero(~occupied & np.repeat(has_shingles, BINS))
    row, position = empty - empty % BINS, empty % BINS
    for step in _STEPS:
        if not len(empty):
            break
        source = row + step[position]
        found = occupied[source]
        values[empty[found]] = values[source[found]]
        missing = ~found
        empty, row, position = empty[missing], row[missing], position[missing]
    return values.reshape(count, BINS)


def bands(values: Signatures) -> Hashes:
    """(n, BANDS): two keys of a column are equal if the signatures agree in all bins of that band."""
    rows = values.reshape(len(values), BANDS, ROWS).astype(np.uint64)
    keys = np.tile(np.arange(1, BANDS + 1, dtype=np.uint64), (len(values), 1))
    for row in range(ROWS):
        keys *= _FACTOR
        keys += rows[:, :, row]
    return mixed(keys)


def signature_bytes(values: Signatures) -> SignatureBytes:
    """(n, BINS): one byte of each value, enough to estimate similarities.

    Of two sets with similarity J, a share of J + (1 - J) / 256 of the bytes are equal, with a standard deviation of
    at most 0.03.
    """
    return values.astype(np.uint8)


def _steps() -> Positions:
    """(BINS, BINS): ``_steps()[i, bin]`` is the bin to look at in the i-th step from an empty ``bin``."""
    numbers = np.arange(BINS * BINS, dtype=np.uint64) + np.uint64(1)
    return np.ascontiguousarray(np.argsort(mixed(numbers).reshape(BINS, BINS), axis=1, kind="stable").T)


_FACTOR = np.uint64(0x9E3779B97F4A7C15)
_STEPS = _steps()
