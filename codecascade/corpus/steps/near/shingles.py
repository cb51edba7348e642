"""Turns texts into sets of shingles: runs of five words, each a 64-bit hash.

A word is a run of ASCII letters, digits, ``_`` and two-byte characters (accented Latin, Greek, Cyrillic, Arabic,
...). Each character from U+0800 on (Chinese, Japanese, ...) is a word of its own, because most of these scripts
write no spaces. A run longer than 64 bytes (encoded data) is cut into words of 64. A text of fewer than five words
is one shingle; a text without words has none.

NumPy processes whole blocks of texts, half a million bytes at a time, so that the data stays in the processor's
cache. No word and no shingle becomes a Python object.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

WORDS = 5
LONGEST_WORD = 64
BLOCK_BYTES = 500_000

Hashes = NDArray[np.uint64]
Bytes = NDArray[np.uint8]
Positions = NDArray[np.int64]

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_FINAL = (np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53))
_HALF = np.uint64(32)
_MASKS = np.array([(1 << 8 * count) - 1 for count in range(9)], np.uint64)
"""Masks of the lowest n bytes of a 64-bit integer, indexed by n."""
_OFFSETS = {
    pa.string(): np.int32,
    pa.binary(): np.int32,
    pa.large_string(): np.int64,
    pa.large_binary(): np.int64,
}


class ShingleSets(NamedTuple):
    """The shingles of n texts; those of each text are distinct and ascending."""

    hashes: Hashes
    """The shingles of all texts, one text after the other."""
    offsets: Positions
    """(n + 1,): text i has ``hashes[offsets[i]:offsets[i + 1]]``."""


def mixed(values: Hashes) -> Hashes:
    """Mix the bits of each value (MurmurHash3's finaliser), in place; returns ``values``."""
    for factor in _FINAL:
        values ^= values >> np.uint64(33)
        values *= factor
    values ^= values >> np.uint64(33)
    return values


def blocks(texts: pa.Array) -> Iterator[tuple[Bytes, Positions]]:
    """Blocks of about ``BLOCK_BYTES`` of text: the bytes, and the offsets of the texts (n + 1,).

    The bytes have eight more at the end, so that eight bytes can be read at any position.

    Raises:
        TypeError: ``texts`` holds neither strings nor bytes.
    """
    if texts.type not in _OFFSETS:
        raise TypeError(f"texts must be strings, not {texts.type}")
    if not len(texts):
        return
    if texts.null_count:
        texts = texts.fill_null(pa.scalar(b"", pa.binary()).cast(texts.type))
    _, offsets_buffer, data_buffer = texts.buffers()
    offsets = np.frombuffer(offsets_buffer, _OFFSETS[texts.type])[
        texts.offset : texts.offset + len(texts) + 1
    ].astype(np.int64)
    data = np.frombuffer(data_buffer or b"", np.uint8)
    first = 0
    while first < len(texts):
        last = max(first + 1, int(np.searchsorted(offsets, offsets[first] + BLOCK_BYTES, "right")) - 1)
        start, end = offsets[first], offsets[last]
        yield np.concatenate([data[start:end], np.zeros(8, np.uint8)]), offsets[first : last + 1] - start
        first = last


def shingle_sets(data: Bytes, offsets: Positions) -> ShingleSets:
    """The shingle sets of one block of :func:`blocks`."""
    hashes, offsets = _shingles(*_words(data, offsets))
    for start, end in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        hashes[start:end].sort()
    first_of_its_kind = np.ones(len(hashes), bool)
    np.not_equal(hashes[1:], hashes[:-1], out=first_of_its_kind[1:])
    first_of_its_kind[offsets[:-1][offsets[:-1] < len(hashes)]] = True
    before = np.zeros(len(hashes) + 1, np.int64)
    np.cumsum(first_of_its_kind, out=before[1:])
    return ShingleSets(hashes[first_of_its_kind], before[offsets])


def _words(data: Bytes, offsets: Positions) -> tuple[Hashes, Positions]:
    """The hash of each word, and the number of words before each text (n + 1,)."""
    size = len(data) - 8
    body = data[:size]
    inside = (body | 32) - 97 < 26
    inside |= body - 48 < 10
    inside |= body == 95
    inside |= body >= 128
    begins = inside.copy()
    np.greater(inside[1:], inside[:-1], out=begins[1:])
    edges = offsets[offsets < size]
    begins[edges] = inside[edges]
    # The first bytes of characters of three bytes and (from 0xF0) of four.
    wide = np.flatnonzero(body >= 0xE0)
    if len(wide):
        begins[wide] = True
        after = wide + np.where(body[wide] >= 0xF0, 4, 3)
        after = after[after < size]
        begins[after] = inside[after]
    continues = inside & ~begins
    ends = inside.copy()
    ends[:-1] &= ~continues[1:]
    starts = np.flatnonzero(begins)
    lengths = np.flatnonzero(ends) + 1 - starts
    if len(lengths) and lengths.max() > LONGEST_WORD:
        starts, lengths = _cut(starts, lengths)

    eight_bytes_at = np.ndarray((size + 1,), "<u8", data, 0, (1,))
    hashes = eight_bytes_at[starts] & _MASKS.take(lengths, mode="clip")
    _stir(hashes)
    longer = np.flatnonzero(lengths > 8)
    for position in range(8, LONGEST_WORD, 8):
        if not len(longer):
            break
        left = lengths[longer] - position
        part = hashes[longer] ^ (eight_bytes_at[starts[longer] + position] & _MASKS.take(left, mode="clip"))
        hashes[longer] = _stir(part)
        longer = longer[left > 8]
    return hashes, np.searchsorted(starts, offsets)


def _cut(starts: Positions, lengths: Positions) -> tuple[Positions, Positions]:
    pieces = -(-lengths // LONGEST_WORD)
    number = np.arange(pieces.sum()) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    done = number * LONGEST_WORD
    return np.repeat(starts, pieces) + done, np.minimum(np.repeat(lengths, pieces) - done, LONGEST_WORD)


def _stir(values: Hashes) -> Hashes:
    values *= _MULTIPLIER
    values ^= values >> _HALF
    return values


def _shingles(words: Hashes, first: Positions) -> tuple[Hashes, Positions]:
    """The hashes of the runs of words, and the number of runs before each text (n + 1,)."""
    counts = np.diff(first)
    runs = words[: max(0, len(words) - WORDS + 1)].copy()
    for position in range(1, WORDS):
        runs *= _MULTIPLIER
        runs += words[position : position + len(runs)]
    inside_one_text = np.ones(len(runs), bool)
    # Remove the runs that would continue into the next text.
    for position in range(1, WORDS):
        across = first[1:] - position
        inside_one_text[across[(across >= 0) & (across < len(runs))]] = False
    runs = runs[inside_one_text]
    offsets = np.zeros(len(first), np.int64)
    np.cumsum(np.maximum(counts - WORDS + 1, 0), out=offsets[1:])

    short = np.flatnonzero((counts > 0) & (counts < WORDS))
    if len(short):
        only = words[first[short]].copy()
        for position in range(1, WORDS - 1):
            more = np.flatnonzero(counts[short] > position)
            only[more] = only[more] * _MULTIPLIER + words[first[short[more]] + position]
        runs = np.insert(runs, offsets[short], only)
        offsets[1:] += np.cumsum((counts > 0) & (counts < WORDS))
    return mixed(runs), offsets
