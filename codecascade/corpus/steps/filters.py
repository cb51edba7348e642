"""Filters out texts that are not worth learning from, by the published rules of The Stack and StarCoder.

Thresholds are in :class:`~codecascade.corpus.settings.CorpusSettings`. The rules recognise data and generated or
minified code by shape. Of prose, only lists without a paragraph are removed. The measures are computed over a whole
batch at once, as byte arrays: a Python loop over the characters of a corpus would take hours.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from codecascade.corpus.settings import CorpusSettings, LanguageFilter
from codecascade.corpus.steps.natural_language import prose
from codecascade.corpus.steps.step import BatchFunction, drop_documents
from codecascade.ground.python_source import parse_module

STEP = "filter"

_NONE = 10**9
_OFF = LanguageFilter(longest_line=_NONE, mean_line=_NONE)
_LONG_LINES = LanguageFilter(longest_line=_NONE)
_DATA_HIDES = LanguageFilter(alphabetic_share=0.25)
EXCEPTIONS: Mapping[str, LanguageFilter] = {
    # From StarCoder's inspection of 300 extensions: where long lines are usual, and where data hides in code.
    "ada": _DATA_HIDES,
    "cmake": _LONG_LINES,
    "html": LanguageFilter(longest_line=10_000, mean_line=1000),
    "matlab": LanguageFilter(longest_line=_NONE, alphabetic_share=0.25),
    "standard ml": _LONG_LINES,
    "tex": _OFF,
    "xslt": _OFF,
}
"""Thresholds by language where StarCoder differs from its defaults (in TeX, a line is a paragraph)."""

_GENERATED = (
    r"(?im)(?:^[^\w\n]*(?:auto-?matically |auto-?|machine )?generated "
    r"(?:by|from|with|using|on|code|file|automatically)\b"
    r"|\b(?:this|the) (?:\w+ ){0,2}(?:is|was|has been) (?:\w+ )?(?:auto-?)?generated\b|@(?:auto-?)?generated\b"
    r"|<auto-?generated|auto-?generated (?:by|from|file|code)|automatically generated (?:by|from|file|code)"
    r"|\bdo not (?:edit|modify|change) (?:this file|by hand|manually|directly)"
    r"|generated .{0,80}\bdo not (?:edit|modify))"
)
"""Phrases that programs write into the first lines of files that they generate."""

_FIRST_LINES, _FIRST_CHARACTERS = r"^(?P<first>(?:[^\n]*\n){0,4}[^\n]*)", 2000
_MINIFIED_NAME = (
    r"(?i)[.-]min\.(?:js|css|mjs)$|\.bundle\.js$|\.pb\.(?:go|cc|h)$|_pb2(?:_grpc)?\.pyi?$"
    r"|\.designer\.cs$|\.g\.(?:dart|cs)$"
)
_VENDORED = r"(?:^|/)(?:jquery|bootstrap|angular|react|d3|mathjax)[-.\d]*(?:\.min)?\.(?:js|css)$"

_ENCODED = re.compile(
    r"[A-Za-z0-9+/=]{64,}(?:\n[A-Za-z0-9+/=]{16,})*"
    r"|(?:(?:0x|\\x)?[0-9A-Fa-f]{2}[,;]?\s*){16,}|(?:\\u[0-9A-Fa-f]{4}){8,}"
)
_MAY_HOLD_ENCODED = r"[A-Za-z0-9+/=]{64}|(?:(?:0x|\\x)?[0-9A-Fa-f]{2}[,;]?\s*){16}|(?:\\u[0-9A-Fa-f]{4}){8}"
_LONGEST_ENCODED = 1024

# What is not closed goes on to the end, as in a browser; each character is looked at once.
_HTML_TEXT = re.compile(r"(?is)<(script|style)\b.*?(?:</\1\s*>|\Z)|<!--.*?(?:-->|\Z)|<[^<>]*>")
_LEAST_VISIBLE_SHARE, _LEAST_VISIBLE = 0.2, 100


class TextMeasures(NamedTuple):
    """Measures of the texts of a batch, one row each, in characters and shares of characters."""

    longest_line: NDArray[np.int64]
    mean_line: NDArray[np.float64]
    alphanumeric: NDArray[np.float64]
    alphabetic: NDArray[np.float64]


# Bits: 1 begins a character, 2 letter, 4 digit. Non-ASCII letters count by their first byte.
_CLASS = np.zeros(256, np.uint8)
_CLASS[:128] = 1
_CLASS[192:] = 1 | 2
for _character in range(128):
    _CLASS[_character] |= 2 * chr(_character).isalpha() | 4 * chr(_character).isdigit()


def measure_texts(texts: pa.Array) -> TextMeasures:
    """Measure texts. An empty text has no lines and no letters."""
    count = len(texts)
    data, offsets = bytes_and_offsets(texts)
    kinds = _CLASS[data]
    starts = kinds & 1
    ends = np.flatnonzero(data == 10)
    # A line begins at the start of a text or after a newline; both lists are sorted, so sorting merges them.
    line_starts = np.sort(np.concatenate([offsets[:-1], ends + 1]), kind="stable")
    line_starts = line_starts[line_starts < len(data)]
    line_starts = line_starts[np.diff(line_starts, prepend=-1) > 0]
    longest = np.zeros(count, np.int64)
    if len(line_starts):
        lengths = np.add.reduceat(starts, line_starts, dtype=np.int64)
        # The newline itself does not count.
        lengths[np.searchsorted(line_starts, ends, "right") - 1] -= 1
        filled = np.flatnonzero(offsets[1:] > offsets[:-1])
        longest[filled] = np.maximum.reduceat(lengths, np.searchsorted(line_starts, offsets[filled]))
    lines = np.bincount(np.searchsorted(offsets, ends, "right") - 1, minlength=count)[:count] + 1
    characters = _sums(starts, offsets)
    letters = _sums((kinds >> 1) & 1, offsets)
    digits = _sums(kinds >> 2, offsets)
    at_least_one = np.maximum(characters, 1)
    return TextMeasures(
        longest, characters / lines, (letters + digits) / at_least_one, letters / at_least_one
    )


def bytes_and_offsets(texts: pa.Array) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The bytes of all texts in one array, and the offset of each text (n + 1,)."""
    texts = texts.cast(pa.large_string()) if not pa.types.is_large_string(texts.type) else texts
    _, offsets, data = texts.buffers()
    bounds = np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    content = (
        np.frombuffer(data, np.uint8)[bounds[0] : bounds[-1]] if data is not None else np.empty(0, np.uint8)
    )
    return content, bounds - bounds[0]


def _sums(values: NDArray[Any], offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    sums = np.zeros(len(offsets) - 1, np.int64)
    # reduceat can't sum an empty range.
    filled = offsets[1:] > offsets[:-1]
    if filled.any():
        sums[filled] = np.add.reduceat(values, offsets[:-1][filled], dtype=np.int64)
    return sums


def thresholds(settings: CorpusSettings) -> dict[str, LanguageFilter]:
    """The thresholds of each language that has its own: StarCoder's exceptions, overridden by the settings."""
    own = {name: filter_.model_dump(exclude_defaults=True) for name, filter_ in settings.filters.items()}
    return {
        name: EXCEPTIONS.get(name, LanguageFilter()).model_copy(update=own.get(name, {}))
        for name in EXCEPTIONS.keys() | own.keys()
    }


def filter_step(settings: CorpusSettings) -> BatchFunction:
    """Drops the documents that a filter rule excludes."""
    return lambda batch: drop_documents(batch, STEP, filter_reasons(batch, settings))


def filter_reasons(batch: pa.RecordBatch, settings: CorpusSettings) -> list[str | None]:
    """Why each document is dropped; None if it is kept."""
    overrides = thresholds(settings)
    texts = batch.column("text")
    shape = measure_texts(texts)
    generated = _matches(first_lines(texts), _GENERATED) if settings.drop_generated else [False] * len(texts)
    machine_made = _matches(batch.column("path"), f"{_MINIFIED_NAME}|{_VENDORED}")
    maybe_encoded = _matches(texts, _MAY_HOLD_ENCODED)
    blank = np.asarray(pc.equal(pc.binary_length(pc.ascii_trim_whitespace(texts)), 0))
    found: list[str | None] = []
    columns = (batch.column(name).to_pylist() for name in ("kind", "language"))
    for row, (kind, language) in enumerate(zip(*columns, strict=True)):
        own = overrides.get(language)
        reason: str | None
        if blank[row]:
            reason = "empty"
        elif own is not None and not own.keep:
            reason = "language is left out"
        elif kind != "code":
            reason = _reason_against_text(texts[row], kind, language)
        else:
            reason = _reason_by_shape(shape, row, settings, own)
            if reason is None and settings.drop_generated and machine_made[row]:
                reason = "generated, minified or copied (by its name)"
            if reason is None and generated[row]:
                reason = "generated (by its first lines)"
            if (
                reason is None
                and maybe_encoded[row]
                and is_encoded(texts[row].as_py(), settings.encoded_share)
            ):
                reason = "encoded data"
            if reason is None and language == "html" and not has_visible_text(texts[row].as_py()):
                reason = "little visible text"
            if (
                reason is None
                and settings.check_syntax
                and language == "python"
                and parse_module(texts[row].as_py()) is None
            ):
                reason = "not valid Python"
        found.append(reason)
    return found


def _reason_by_shape(
    shape: TextMeasures, row: int, settings: CorpusSettings, own: LanguageFilter | None
) -> str | None:
    def limit(name: str) -> Any:
        special = getattr(own, name) if own is not None else None
        return getattr(settings, name, 0.0) if special is None else special

    if shape.longest_line[row] > limit("longest_line"):
        return "a line is too long"
    if shape.mean_line[row] > limit("mean_line"):
        return "lines are too long on average"
    if shape.alphanumeric[row] < limit("alphanumeric_share"):
        return "too few letters and digits"
    if shape.alphabetic[row] < limit("alphabetic_share"):
        return "too few letters"
    return None


def _reason_against_text(text: Any, kind: str, language: str) -> str | None:
    # Most .txt files hold lists, tables and keys; a page of documentation has a paragraph.
    if language == "text" and kind == "natural_language_code" and not prose(text.as_py()):
        return "text without a paragraph"
    return None


def first_lines(texts: pa.Array) -> pa.Array:
    """The first five lines of each text."""
    start = pc.utf8_slice_codeunits(texts, 0, _FIRST_CHARACTERS)
    return pc.struct_field(pc.extract_regex(start, _FIRST_LINES), 0)


def _matches(texts: pa.Array, pattern: str) -> NDArray[np.bool_]:
    """Which texts match, by Arrow's regular expressions (RE2), at some hundred MB/s."""
    return np.asarray(pc.match_substring_regex(texts, pattern))


def is_encoded(text: str, most: float) -> bool:
    """Whether more than ``most`` of a text, or 1024 characters in a row, is base64, hexadecimal bytes or escapes.

    This is StarCoder2's rule. A long identifier or a table of numbers does not count.
    """
    lengths = [len(match[0]) for match in _ENCODED.finditer(text) if _is_mixed(match[0])]
    return bool(lengths) and (max(lengths) > _LONGEST_ENCODED or sum(lengths) > most * len(text))


def _is_mixed(run: str) -> bool:
    """Whether a run has many different characters, unlike ``=====`` and ``AAAA`` (rulers and padding)."""
    return len(set(run[:2000])) >= 8


def has_visible_text(html: str) -> bool:
    """Whether a page shows enough text: 20 % of the file and 100 characters (The Stack's rule)."""
    visible = len(" ".join(_HTML_TEXT.sub(" ", html).split()))
    return visible >= _LEAST_VISIBLE and visible >= _LEAST_VISIBLE_SHARE * len(html)
