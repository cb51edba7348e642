"""``corpus.html``: one page about a corpus, a single file that needs no network."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from functools import cache
from typing import Any, NamedTuple

import jinja2
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from codecascade.corpus.documents import KIND_TITLES, KINDS
from codecascade.corpus.engines.parts import BuildParts
from codecascade.corpus.manifest import DocumentCount, Manifest
from codecascade.corpus.steps.table import REASON_SLOT, sample_headings
from codecascade.ground.format import counted, show_bytes

SAMPLES = 3
"""Dropped documents shown for each reason."""
TWINS = 6
"""Pairs of near-duplicates shown in total."""
_MOST_BARS = 16
_LINES = 14


class Bar(NamedTuple):
    """One bar of a chart; ``share`` is its length in percent of the longest bar."""

    name: str
    value: str
    share: float
    note: str = ""


class TextSample(NamedTuple):
    """A text and where it comes from."""

    title: str
    note: str
    text: str


def corpus_page(
    manifest: Manifest, left_out: pa.Table, staying: pa.Table, parts: BuildParts, removed: pa.Table
) -> str:
    """The HTML of the page.

    Args:
        left_out: rows of :data:`codecascade.corpus.output.dropped.SCHEMA`.
        staying: ``bytes`` and the origin of the documents that are kept.
        removed: which documents were removed as duplicates of which (:data:`codecascade.corpus.steps.near.REMOVED`).
    """
    return _template().render(
        manifest=manifest,
        total=manifest.total(),
        kinds=[
            (
                KIND_TITLES[kind],
                _sum(split.kinds.get(kind, {}).values() for split in manifest.splits.values()),
            )
            for kind in KINDS
        ],
        languages=_bars(manifest.languages()),
        licenses=_bars(manifest.licenses()),
        lengths=_lengths(staying),
        steps=_steps(manifest),
        clusters=_clusters(manifest),
        samples=_samples(left_out),
        twins=_twins(parts, removed),
        size=show_bytes,
        number="{:,}".format,
    )


def _sum(counts: Iterable[Iterable[DocumentCount]]) -> DocumentCount:
    return sum((one for some in counts for one in some), DocumentCount())


def _bars(counts: dict[str, DocumentCount]) -> list[Bar]:
    """A bar for each name, the largest first; those beyond the limit are added up in one bar."""
    ordered = list(counts.items())
    shown = ordered if len(ordered) <= _MOST_BARS else ordered[: _MOST_BARS - 1]
    rest = ordered[len(shown) :]
    if rest:
        shown = [*shown, (f"{len(rest)} others", sum((count for _, count in rest), DocumentCount()))]
    longest = max((count.bytes for _, count in shown), default=1) or 1
    return [
        Bar(name, show_bytes(count.bytes), 100 * count.bytes / longest, counted(count.documents, "document"))
        for name, count in shown
    ]


def _lengths(staying: pa.Table) -> list[Bar]:
    """The number of documents by size in bytes, one bar for each power of two."""
    sizes = np.asarray(staying["bytes"])
    doublings = np.floor(np.log2(np.maximum(sizes, 1))).astype(int)
    counts = np.bincount(doublings)
    first = int(np.flatnonzero(counts)[0])
    longest = counts.max()
    return [
        Bar(f"from {_power(index)}", f"{count:,}", 100 * count / longest)
        for index, count in enumerate(counts.tolist())
        if index >= first
    ]


def _power(exponent: int) -> str:
    units = ("bytes", "KiB", "MiB", "GiB")
    return f"{2 ** (exponent % 10)} {units[exponent // 10]}"


def _steps(manifest: Manifest) -> list[dict[str, Any]]:
    """The documents left after each step, and its most frequent reasons for dropping some."""
    widest = max((step.left.documents for step in manifest.steps), default=1) or 1
    return [
        {
            "name": step.step,
            "left": step.left,
            "share": 100 * step.left.documents / widest,
            "dropped": sum(step.dropped.values()),
            "reasons": list(step.dropped.items())[:6],
            "more": max(0, len(step.dropped) - 6),
        }
        for step in manifest.steps
    ]


def _clusters(manifest: Manifest) -> list[Bar]:
    """The number of kept documents by how many copies they had, one bar for each power of two."""
    bins: dict[int, int] = {}
    for copies, count in manifest.cluster_sizes.items():
        index = int(copies).bit_length() - 1
        bins[index] = bins.get(index, 0) + count
    longest = max(bins.values(), default=1)
    return [
        Bar(f"{2**index} to {2 ** (index + 1) - 1} copies", f"{count:,}", 100 * count / longest)
        for index, count in sorted(bins.items())
    ]


def _samples(left_out: pa.Table) -> list[tuple[str, list[TextSample]]]:
    """Sample texts that were left out, for the steps that define a heading."""
    headings = sample_headings()
    chosen = left_out.filter(
        pc.and_(
            pc.is_in(left_out["step"], pa.array(headings, pa.string())),
            pc.greater(pc.binary_length(left_out["beginning"]), 0),
        )
    )
    reasons: dict[str, list[TextSample]] = {}
    columns = (
        chosen[name].to_pylist() for name in ("step", "reason", "repository", "path", "bytes", "beginning")
    )
    for step, reason, repository, path, length, text in zip(*columns, strict=True):
        heading = headings[step]
        title = heading.replace(REASON_SLOT, reason)
        samples = reasons.setdefault(title, [])
        if len(samples) < SAMPLES:
            note = show_bytes(length) if REASON_SLOT in heading else f"{reason}, {show_bytes(length)}"
            samples.append(TextSample(f"{repository}/{path}", note, _beginning(text)))
    return sorted(reasons.items())


def _twins(parts: BuildParts, removed: pa.Table) -> list[TextSample]:
    """Some near-duplicates from the least to the most similar, each as a diff against the copy that is kept."""
    near = removed.filter(pc.less(removed["similarity"], 1.0)).sort_by(
        [("similarity", "ascending"), ("removed", "ascending")]
    )
    if not len(near):
        return []
    indexes = np.unique(np.linspace(0, len(near) - 1, TWINS).astype(int))
    texts, paths, repositories = (parts.column(name) for name in ("text", "path", "repository"))
    samples = []
    for row in near.take(indexes).to_pylist():
        removed_index, kept_index = row["removed"], row["kept"]
        lines = difflib.unified_diff(
            texts[kept_index].as_py()[:20_000].splitlines(),
            texts[removed_index].as_py()[:20_000].splitlines(),
            lineterm="",
            n=1,
        )
        shown = [line[:160] for line in list(lines)[2 : 2 + _LINES]]
        names = [
            f"{repositories[index].as_py()}/{paths[index].as_py()}" for index in (removed_index, kept_index)
        ]
        samples.append(TextSample(names[0], f"{row['similarity']:.2f} like {names[1]}", "\n".join(shown)))
    return samples


def _beginning(text: str) -> str:
    return "\n".join(line[:160] for line in text.split("\n")[:_LINES])


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("codecascade.corpus.output"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("corpus.html.jinja")
