"""Which candidates are read: what the settings let in, cut down to a number of bytes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from codecascade.corpus.candidates import Candidate
from codecascade.corpus.documents import keyed
from codecascade.corpus.dropped import Dropped
from codecascade.corpus.licenses import is_permissive
from codecascade.corpus.settings import CorpusSettings


def choose(candidates: Sequence[Candidate], settings: CorpusSettings, dropped: Dropped) -> list[Candidate]:
    """The candidates to read, in their old order.

    Of ``max_bytes``, text gets its share and what the code doesn't need; of the rest, code leaves the same
    share free for the natural language that is made of it (:func:`derived_share`).
    """
    allowed = []
    for candidate in candidates:
        reason = reason_to_refuse(candidate, settings)
        if reason is None:
            allowed.append(candidate)
        else:
            dropped.add("choose", reason)
    if settings.max_bytes is None:
        return allowed
    code = [candidate for candidate in allowed if candidate.kind == "code"]
    text = [candidate for candidate in allowed if candidate.kind != "code"]
    share = settings.natural_language_share
    text = spread(text, max(int(settings.max_bytes * share), settings.max_bytes - total_size(code)))
    code = spread(code, int((settings.max_bytes - total_size(text)) * (1 - share)))
    taken = {id(candidate) for candidate in (*code, *text)}
    dropped.add("choose", "over max_bytes", len(allowed) - len(taken))
    return [candidate for candidate in allowed if id(candidate) in taken]


def derived_share(settings: CorpusSettings) -> float | None:
    """Bytes of natural language that may be made of a byte of code; none where there is no limit of bytes."""
    share = settings.natural_language_share
    return None if settings.max_bytes is None else share / (1 - share)


def reason_to_refuse(candidate: Candidate, settings: CorpusSettings) -> str | None:
    """Why a candidate is not for this corpus; none if it is."""
    if candidate.size > settings.max_file_bytes:
        return "larger than max_file_bytes"
    if candidate.kind == "code" and settings.languages and candidate.language not in settings.languages:
        return "not one of the languages"
    if settings.licenses == "permissive" and not is_permissive(candidate.license):
        return f"licence {candidate.license[:60]}"
    return None


def spread(candidates: Sequence[Candidate], budget: int) -> list[Candidate]:
    """Candidates of at most ``budget`` bytes together.

    Every repository gives all it has up to one common level of bytes (as water fills vessels); one that has
    more gives the files that the hash of their path puts first, so a growing repository keeps its choice.
    """
    repositories: dict[str, list[Candidate]] = defaultdict(list)
    for candidate in candidates:
        repositories[candidate.repository].append(candidate)
    level = water_level(map(total_size, repositories.values()), budget)
    chosen = []
    for repository, members in repositories.items():
        left = level
        for candidate in sorted(members, key=lambda member: keyed(repository, member.path)):
            if candidate.size <= left:
                left -= candidate.size
                chosen.append(candidate)
    return chosen


def water_level(sizes: Iterable[int], budget: int) -> float:
    """The level L for which the sum of ``min(size, L)`` is ``budget``; infinite when all fit.

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


def total_size(candidates: Iterable[Candidate]) -> int:
    """Bytes."""
    return sum(candidate.size for candidate in candidates)
