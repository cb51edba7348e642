"""Held-out documents by programming language: how well a model predicts each, left to right.

A stage that is trained on one language may lose others. ``validation`` mixes all languages as the corpus does; here
each has a figure of its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from pydantic import Field

from codecascade.corpus.corpus import Corpus
from codecascade.evaluation.benchmark_settings import BenchmarkSettings, CommonSettings, PositiveInt
from codecascade.evaluation.benchmarks.language_modelling.validation import ScoredSequence, score_sequences
from codecascade.evaluation.rates import ratio_scores
from codecascade.evaluation.scores import Scores, metrics_of
from codecascade.evaluation.size import TokenEstimate
from codecascade.evaluation.subsets import subset
from codecascade.evaluation.task import Benchmark, EvaluationContext, SampleRow, ScoredTexts
from codecascade.generation.requests import start_id
from codecascade.ground.errors import UserError

_METRIC = "bits_per_byte"
_PYTHON, _OTHERS = "python", "other_languages"
_FEW = "of_few"
"""In a row: its language has too few documents for a figure of its own."""


class ByLanguageSettings(BenchmarkSettings):
    """``[evaluate.validation_by_language]``."""

    key = "validation_by_language"

    documents: PositiveInt | None = Field(100, description="held-out documents of each language, at most")
    characters: PositiveInt = Field(
        8000, description="longer documents are cut after this many characters, and to the model's context"
    )
    fewest: PositiveInt = Field(
        5, description="languages with fewer held-out documents have no figure of their own"
    )


def score(context: EvaluationContext) -> ScoredTexts:
    """``bits_per_byte`` over all documents, of each language and of all but Python (``bits_per_byte@python``,
    ``bits_per_byte@other_languages``).

    Intervals are bootstraps over documents. Languages have about equally many documents, so the figure over all is
    not that of the corpus. A language of few documents counts there alone, and in that of all but Python.
    """
    settings = context.own(ByLanguageSettings)
    corpus = context.needs_corpus("validation_by_language")
    scorer, tokenizer = context.needs_scorer("validation_by_language")
    room = context.model.context_length
    assert room is not None
    rows: list[SampleRow] = []
    sequences = []
    few = {}
    for language in _languages(corpus):
        table = corpus.documents("heldout", language)
        if len(table) < settings.fewest:
            few[language] = len(table)
        for index in subset(range(len(table)), settings.documents, context.seed):
            document = table[index]
            text = document.text[: settings.characters]
            ids = tokenizer.encode(text)[: room - 1]
            if not ids:
                continue
            sequences.append(ScoredSequence(len(rows), [start_id(tokenizer), *ids], 1))
            size = len(text.encode()) if len(ids) < room - 1 else len(tokenizer.decode(ids).encode())
            row: SampleRow = {"task_id": document.id, "language": language, "bytes": size, "tokens": len(ids)}
            rows.append(row | {_FEW: True} if language in few else row)
    nats, _ = score_sequences(scorer, sequences, len(sequences), len(rows), context.progress)
    rows = [{**row, "nats": float(nats[0][index])} for index, row in enumerate(rows)]
    return ScoredTexts(metrics_of(scores(rows), context.seed), rows, _notes(few))


def scores(rows: Sequence[SampleRow]) -> dict[str, Scores]:
    """The bits per byte of each document, over all, by language, and over all languages but Python."""
    groups = {_METRIC: list(rows)}
    for row in rows:
        if not row.get(_FEW):
            groups.setdefault(f"{_METRIC}@{row['language']}", []).append(row)
    if others := [row for row in rows if row["language"] != _PYTHON]:
        groups[f"{_METRIC}@{_OTHERS}"] = others
    return {name: ratio_scores(found, "nats", "bytes", math.log(2)) for name, found in groups.items()}


def _languages(corpus: Corpus) -> list[str]:
    found = sorted(corpus.manifest.splits["heldout"].kinds.get("code", {}))
    if not found:
        raise UserError("no code is held out; hold out more", key="validation_by_language")
    return found


def _notes(few: Mapping[str, int]) -> list[str]:
    if not few:
        return []
    languages = ", ".join(f"{language} {count:,}" for language, count in sorted(few.items()))
    return [f"Of these languages too few documents are held out for a figure of their own: {languages}."]


def _size(settings: CommonSettings) -> TokenEstimate:
    """Of five languages. A token is estimated to have four characters."""
    own = settings.own(ByLanguageSettings)
    return TokenEstimate(5 * (own.documents or 1000) * own.characters // 4)


BENCHMARKS = (
    Benchmark(
        "validation_by_language",
        "Held-out documents by language",
        _METRIC,
        needs=frozenset({"corpus", "scores"}),
        higher_is_better=False,
        settings=ByLanguageSettings,
        size=_size,
        plain_metrics=(_METRIC,),
        score=score,
        scores=scores,
        version=2,
    ),
)
