"""Validation: how well the model predicts held-out documents, left to right and as infillings.

Losses are in nats per token: over the tokens of a text or, for infilling, over those of a middle and its end token.
Losses per token of models with different tokenizers can't be compared; ``bits_per_byte`` can.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from codecascade.evaluation.benchmark_settings import BenchmarkSettings, CommonSettings, PositiveInt
from codecascade.evaluation.rates import ratio_scores
from codecascade.evaluation.scores import Scores, metrics_of
from codecascade.evaluation.size import TokenEstimate
from codecascade.evaluation.subsets import subset
from codecascade.evaluation.task import (
    Benchmark,
    EvaluationContext,
    ReportedFigure,
    SampleRow,
    ScoredTexts,
    UseFigure,
)
from codecascade.generation.requests import Scorer, start_id
from codecascade.ground.errors import UserError
from codecascade.ground.seeds import generator
from codecascade.tokens.infilling import infilling_example, split_document
from codecascade.tokens.tokenizer import Tokenizer


class ValidationSettings(BenchmarkSettings):
    """``[evaluate.validation]``."""

    key = "validation"

    documents: PositiveInt | None = Field(
        500, description="held-out documents whose loss is measured, at most"
    )
    characters: PositiveInt = Field(8000, description="longer documents are cut after this many characters")


@dataclass(frozen=True)
class ScoredSequence:
    """A sequence of tokens of a document. Those from the index ``first`` on are scored."""

    document: int
    ids: Sequence[int]
    first: int


def score(context: EvaluationContext) -> ScoredTexts:
    """``loss``, ``bits_per_byte`` and, for a model with infilling tokens, ``infilling_loss``.

    A document is cut after ``validation.characters``, and into windows if it is longer than the model's context. For
    the infilling loss it is split at two random characters, half of the documents in PSM and half in SPM (paper,
    section 3). A document that does not fit the context as a whole is left out of it. Intervals are bootstraps over
    documents.
    """
    settings = context.own(ValidationSettings)
    table = context.needs_corpus("validation").documents("heldout", "code")
    scorer, tokenizer = context.needs_scorer("validation")
    documents = [table[index] for index in subset(range(len(table)), settings.documents, context.seed)]
    if not documents:
        raise UserError("the corpus has no held-out code", key="validation")
    texts = [document.text[: settings.characters] for document in documents]
    room = context.model.context_length
    assert room is not None

    windows = [
        ScoredSequence(index, [start_id(tokenizer), *ids[start : start + room - 1]], 1)
        for index, ids in enumerate(tokenizer.encode_batch(texts))
        for start in range(0, len(ids), room - 1)
    ]
    middles = []
    if tokenizer.infilling is not None:
        for index, text in enumerate(texts):
            sequence = _infilling(tokenizer, index, text, generator(context.seed, documents[index].id))
            if len(sequence.ids) <= room:
                middles.append(sequence)

    nats, tokens = score_sequences(scorer, windows + middles, len(windows), len(texts), context.progress)
    sizes = np.array([len(text.encode()) for text in texts])
    scored = tokens[1] > 0
    samples = [
        {
            "task_id": document.id,
            "bytes": int(sizes[index]),
            "tokens": int(tokens[0][index]),
            "nats": float(nats[0][index]),
            "middle_tokens": int(tokens[1][index]),
            "middle_nats": float(nats[1][index]),
        }
        for index, document in enumerate(documents)
    ]
    notes = [
        f"{len(texts) - int(scored.sum())} of {len(texts)} documents don't fit into the context whole; "
        "infilling_loss leaves them out."
    ]
    notes = notes if middles and not scored.all() else []
    return ScoredTexts(metrics_of(scores(samples), context.seed), samples, notes)


def scores(rows: Sequence[SampleRow]) -> dict[str, Scores]:
    """The losses of each document, per token and per byte."""
    found = {
        "loss": ratio_scores(rows, "nats", "tokens"),
        "bits_per_byte": ratio_scores(rows, "nats", "bytes", math.log(2)),
    }
    if filled := [row for row in rows if row.get("middle_tokens")]:
        found["infilling_loss"] = ratio_scores(filled, "middle_nats", "middle_tokens")
    return found


def _infilling(tokenizer: Tokenizer, index: int, text: str, rng: random.Random) -> ScoredSequence:
    assert tokenizer.infilling is not None
    prefix, middle, suffix = split_document(text, rng)
    example = infilling_example(
        tokenizer, prefix, middle, suffix, format=rng.choice(tokenizer.infilling.formats)
    )
    return ScoredSequence(index, example.ids, example.middle_start)


def score_sequences(
    scorer: Scorer,
    sequences: Sequence[ScoredSequence],
    windows: int,
    documents: int,
    progress: Callable[[int, int], None],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The sums of nats and of tokens, each (2, documents).

    The first row is over the first ``windows`` sequences, which are left to right; the second over the others.
    """
    nats, tokens = np.zeros((2, documents)), np.zeros((2, documents))
    scores = scorer.log_probabilities([sequence.ids for sequence in sequences])
    for done, (index, log_probabilities) in enumerate(scores, 1):
        sequence, kind = sequences[index], int(index >= windows)
        # Entry i is the log-probability of ids[i + 1].
        predicted = log_probabilities[sequence.first - 1 :]
        nats[kind, sequence.document] -= sum(predicted)
        tokens[kind, sequence.document] += len(predicted)
        progress(done, len(sequences))
    return nats, tokens


def _size(settings: CommonSettings) -> TokenEstimate:
    """Each document is read twice: left to right, and for infilling. A token is estimated to have four characters."""
    own = settings.own(ValidationSettings)
    return TokenEstimate(2 * (own.documents or 1000) * own.characters // 4)


BENCHMARKS = (
    Benchmark(
        "validation",
        "Held-out documents: loss",
        "bits_per_byte",
        needs=frozenset({"corpus", "scores"}),
        higher_is_better=False,
        settings=ValidationSettings,
        size=_size,
        plain_metrics=("loss", "infilling_loss", "bits_per_byte"),
        columns=(
            ReportedFigure("loss", "Validation loss", higher_is_better=False),
            ReportedFigure("infilling_loss", "Infilling loss", higher_is_better=False),
            ReportedFigure("bits_per_byte", "Bits per byte", higher_is_better=False),
        ),
        tells_use=(
            UseFigure(
                "bits_per_byte",
                "bits per byte",
                "documents",
                "needs {} bits per byte",
                higher_is_better=False,
                sensitive=True,
                is_loss=True,
            ),
        ),
        rank=120,
        score=score,
        scores=scores,
    ),
)
