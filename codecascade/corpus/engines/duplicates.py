"""Finds the duplicates among all documents of a build: exact ones first, then near-duplicates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from codecascade.corpus.documents import KINDS
from codecascade.corpus.engines.local import BuildEngine
from codecascade.corpus.engines.parts import BuildParts, read_arrow, write_arrow
from codecascade.corpus.settings import CorpusSettings
from codecascade.corpus.steps.exact_dedup import STEP as EXACT
from codecascade.corpus.steps.exact_dedup import exact_duplicates, preference_ranks, resolve_chains
from codecascade.corpus.steps.near import REMOVED
from codecascade.corpus.steps.near import STEP as NEAR
from codecascade.corpus.steps.step import StepTally

_NEAR = "near.arrow"


def find_duplicates(
    work: Path,
    documents: pa.Table,
    parts: BuildParts,
    settings: CorpusSettings,
    engine: BuildEngine,
    tally: StepTally,
) -> tuple[pa.Table, int]:
    """Find exact duplicates, then near-duplicates among the rest, and count what is left after each.

    Returns:
        Which documents are removed as duplicates of which (:data:`codecascade.corpus.steps.near.REMOVED`), and how
        many of them, at the beginning of the table, are exact duplicates.
    """
    ranks = preference_ranks(*(documents[name] for name in ("kind", "license", "repository", "path")))
    exact = exact_duplicates(documents["id"], ranks)
    rest = np.setdiff1d(np.arange(len(documents)), np.asarray(exact["removed"]))
    tally.add(EXACT, documents.take(rest), documents["bytes"].take(rest))
    near = REMOVED.empty_table()
    if settings.near_duplicates:
        if not (work / _NEAR).exists():
            kinds = documents["kind"].take(rest)
            found = [near]
            # Kinds are compared separately: prose stays beside the documentation it was extracted from (Table 1
            # wants both).
            for kind in KINDS:
                own = rest[np.asarray(pc.equal(kinds, kind))]
                found.append(engine.near_duplicates(parts, own, ranks[own], settings.near_threshold, work))
            write_arrow(work / _NEAR, pa.concat_tables(found))
        near = read_arrow(work / _NEAR)
        rest = np.setdiff1d(rest, np.asarray(near["removed"]))
        tally.add(NEAR, documents.take(rest), documents["bytes"].take(rest))
    return resolve_chains(exact, near), len(exact)
