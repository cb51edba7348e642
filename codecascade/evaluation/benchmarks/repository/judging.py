"""How the completion of a line or a statement is judged, by all benchmarks that use other files but RepoBench."""

from __future__ import annotations

from collections.abc import Sequence

from codecascade.evaluation.answers.identifiers import identifier_f1, identifiers
from codecascade.evaluation.answers.similarity import edit_similarity
from codecascade.evaluation.task import SampleRow
from codecascade.sandbox.outcome import Outcome

METRICS = ("exact_match", "edit_similarity", "identifier_match", "identifier_f1")


def judge(expected: str, language: str, completion: str, _outcomes: Sequence[Outcome] = ()) -> SampleRow:
    """The fields of :data:`METRICS`. White space around lines does not count, nor do blank lines."""
    found, wanted = _lines(completion), _lines(expected)
    names, wanted_names = identifiers(completion, language), identifiers(expected, language)
    return {
        "exact_match": found == wanted,
        "edit_similarity": edit_similarity("\n".join(found), "\n".join(wanted)),
        "identifier_match": names == wanted_names,
        "identifier_f1": identifier_f1(names, wanted_names),
    }


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.split("\n") if line.strip()]
