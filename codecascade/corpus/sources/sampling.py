"""Chooses the candidates to read: applies the settings, then the limit of bytes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from codecascade.corpus.documents import keyed_draw
from codecascade.corpus.output.dropped import Dropped
from codecascade.corpus.reading.content_rules import LANGUAGES, POSSIBLE_LANGUAGES
from codecascade.corpus.reading.languages import NOTEBOOK
from codecascade.corpus.reading.licenses import is_permissive
from codecascade.corpus.settings import CorpusSettings
from codecascade.ground.errors import UserError
from codecascade.ground.nearest import nearest

STEP = "choose"

NOTEBOOK_BYTES = 20
"""A notebook file, with its pictures, may be this many times larger than the text that is kept of it."""


def check_languages(settings: CorpusSettings, listing: pa.Table) -> None:
    """Check that every language in the settings exists.

    Raises:
        UserError: neither this package nor a row of the sources knows it; the most similar name is suggested.
    """
    known = LANGUAGES | {*listing["language"].unique().to_pylist()}
    for key, names in (("languages", settings.languages), ("filters", settings.filters)):
        for name in names:
            if name not in known:
                hint = nearest(name, sorted(known), "names are in lower case, as c++ or shell")
                raise UserError(f"there is no language {name!r}; {hint}", key=f"corpus_build.{key}")


def choose_candidates(listing: pa.Table, settings: CorpusSettings, dropped: Dropped) -> pa.Table:
    """The candidates to read, in their order.

    Of ``max_bytes``, text gets its share and whatever the code doesn't need. Code gets the rest, minus the same
    share for natural language that will be derived from it (:func:`derived_share`).
    """
    reasons = refusals(listing, settings)
    chosen = np.array([reason is None for reason in reasons], bool)
    if settings.max_bytes is not None:
        sizes = np.asarray(listing["size"])
        is_code = np.asarray(pc.equal(listing["kind"], "code")) if len(listing) else np.empty(0, bool)
        code, text = np.flatnonzero(chosen & is_code), np.flatnonzero(chosen & ~is_code)
        share = settings.natural_language_share
        names, paths = (listing[name].to_pylist() for name in ("repository", "path"))
        budget = max(int(settings.max_bytes * share), settings.max_bytes - int(sizes[code].sum()))
        text = spread(text, names, paths, sizes, budget)
        code = spread(
            code, names, paths, sizes, int((settings.max_bytes - int(sizes[text].sum())) * (1 - share))
        )
        taken = np.zeros(len(listing), bool)
        taken[code] = taken[text] = True
        for row in np.flatnonzero(chosen & ~taken).tolist():
            reasons[row] = "over max_bytes"
        chosen &= taken
    _account(listing, reasons, dropped)
    return listing.filter(pa.array(chosen))


def _account(listing: pa.Table, reasons: Sequence[str | None], dropped: Dropped) -> None:
    refused = np.array([reason is not None for reason in reasons], bool)
    columns = [listing.filter(pa.array(refused))[name].to_pylist()
               for name in ("path", "repository", "kind", "language", "license", "size")]  # fmt: skip
    given = [reason for reason in reasons if reason is not None]
    for reason, path, repository, kind, language, spdx, size in zip(given, *columns, strict=True):
        dropped.add(STEP, reason, path, repository, kind=kind, language=language, license=spdx, bytes=size)


def derived_share(settings: CorpusSettings) -> float | None:
    """Most bytes of natural language derived from each byte of code; None if there is no byte limit."""
    share = settings.natural_language_share
    return None if settings.max_bytes is None else share / (1 - share)


def refusals(listing: pa.Table, settings: CorpusSettings) -> list[str | None]:
    """Why each candidate is left out; None if it is kept."""
    wanted = frozenset(settings.languages)
    found: list[str | None] = []
    columns = (listing[name].to_pylist() for name in ("path", "kind", "language", "license", "size", "own"))
    for path, kind, language, spdx, size, own in zip(*columns, strict=True):
        reason = None
        if size > settings.max_file_bytes * (NOTEBOOK_BYTES if language == NOTEBOOK else 1):
            reason = "larger than max_file_bytes"
        elif kind == "code" and wanted and language not in wanted and not _may_be(path, language, wanted):
            reason = "not one of the languages"
        elif license_refused(spdx, own, settings.licenses):
            reason = f"licence {spdx[:60]}"
        found.append(reason)
    return found


def _may_be(path: str, language: str, wanted: frozenset[str]) -> bool:
    """Whether the text may turn out to be in a wanted language: a notebook, or an ambiguous extension."""
    return language == NOTEBOOK or not wanted.isdisjoint(
        POSSIBLE_LANGUAGES.get(os.path.splitext(path)[1].lower(), ())
    )


def license_refused(spdx: str, own: bool, licenses: str) -> bool:
    """Whether the setting ``licenses`` excludes a licence."""
    applies = licenses == "permissive" or (licenses == "auto" and not own)
    return applies and not is_permissive(spdx)


def spread(
    rows: NDArray[np.int64],
    repositories: Sequence[str],
    paths: Sequence[str],
    sizes: NDArray[np.int64],
    budget: int,
) -> NDArray[np.int64]:
    """A choice of the candidates ``rows`` with at most ``budget`` bytes in total.

    All repositories get the same limit of bytes (as water fills connected vessels). A smaller repository is taken
    completely. A larger one gives the files whose path hashes come first, so that it keeps its choice when it
    grows.
    """
    members: dict[str, list[int]] = {}
    for row in rows.tolist():
        members.setdefault(repositories[row], []).append(row)
    totals = {name: int(sizes[own].sum()) for name, own in members.items()}
    level = water_level(totals.values(), budget)
    chosen: list[int] = []
    for name, own in members.items():
        if totals[name] <= level:
            chosen += own
            continue
        left = level
        for row in sorted(own, key=lambda row: (keyed_draw(name, paths[row]), row)):
            if sizes[row] <= left:
                left -= sizes[row]
                chosen.append(row)
    return np.array(sorted(chosen), np.int64)


def water_level(sizes: Iterable[int], budget: int) -> float:
    """The level L at which the sum of ``min(size, L)`` equals ``budget``; infinite if everything fits.

    >>> water_level([10, 100, 100], 70)
    30.0
    """
    ascending = sorted(sizes)
    left = float(budget)
    for index, size in enumerate(ascending):
        level = left / (len(ascending) - index)
        if size > level:
            return level
        left -= size
    return float("inf")


def total_size(listing: pa.Table) -> int:
    """The bytes of all candidates together."""
    value: Any = pc.sum(listing["size"]).as_py()
    return int(value or 0)
