"""What a source's candidates are, and what they hold."""

from __future__ import annotations

from pathlib import Path

from codecascade.corpus.output.dropped import Dropped, by_step
from codecascade.corpus.reading.containers import CandidateContents
from codecascade.corpus.sources.candidates import Candidate
from codecascade.corpus.sources.find import find_candidates

MIT = "MIT License\n\nPermission is hereby granted, free of charge, to any person"


def found(source: Path | str) -> tuple[dict[str, Candidate], dict[str, int]]:
    dropped = Dropped()
    candidates = {f"{c.repository}:{c.path}": c for c in find_candidates(str(source), dropped)}
    return candidates, by_step(dropped.table()).get("find", {})


def text(candidate: Candidate, limit: int = 1_000_000) -> str:
    return CandidateContents().text(candidate, limit)


def reasons(dropped: Dropped) -> dict[str, int]:
    return by_step(dropped.table()).get("find", {})
