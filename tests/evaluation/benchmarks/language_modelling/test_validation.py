from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from codecascade.evaluation.benchmarks.language_modelling import validation
from codecascade.evaluation.evaluate_settings import EvaluateSettings
from codecascade.evaluation.task import EvaluatedModel, EvaluationContext, ScoredTexts
from codecascade.ground.errors import UserError


@dataclass
class Even:
    """Gives each token the probability ``1 / token id``, so that every sum can be done by hand."""

    tokenizer: Any
    context_length: int = 4096
    seen: list[list[int]] = field(default_factory=list)

    def generate(self, requests: object) -> Iterator[Any]:
        raise AssertionError("nothing is generated")

    def log_probabilities(self, sequences: Sequence[Sequence[int]]) -> Iterator[tuple[int, list[float]]]:
        self.seen = [list(ids) for ids in sequences]
        for place, ids in reversed(list(enumerate(sequences))):
            yield place, [-math.log(token) for token in ids[1:]]


def run(scorer: Even, corpus: Any, **settings: int) -> ScoredTexts:
    model = EvaluatedModel("even", scorer.context_length, tokenizer=scorer.tokenizer, scorer=scorer)
    return validation.score(EvaluationContext(EvaluateSettings(validation=settings), model, corpus=corpus))


def nats(ids: Sequence[int]) -> float:
    return sum(math.log(token) for token in ids)


def test_losses_are_sums_over_tokens(tokenizer: Any, corpus: Any) -> None:
    scorer = Even(tokenizer)
    result = run(scorer, corpus)
    encoded = [tokenizer.encode(text) for text in corpus.texts]
    total, tokens = sum(map(nats, encoded)), sum(map(len, encoded))
    size = sum(len(text.encode()) for text in corpus.texts)
    assert result.metrics["loss"].value == pytest.approx(total / tokens)
    assert result.metrics["bits_per_byte"].value == pytest.approx(total / math.log(2) / size)
    assert result.metrics["loss"].low < result.metrics["loss"].value < result.metrics["loss"].high
    assert sum(row["tokens"] for row in result.rows) == tokens
    plain, filled = scorer.seen[:6], scorer.seen[6:]
    assert plain == [[tokenizer.end_of_document_id, *ids] for ids in encoded]
    assert len(filled) == 6 and all(ids[-1] == tokenizer.infilling.end for ids in filled)


def test_the_infilling_loss_is_of_the_middle_and_its_end(tokenizer: Any, corpus: Any) -> None:
    scorer = Even(tokenizer)
    result = run(scorer, corpus)
    middle = tokenizer.infilling.middle
    total = tokens = 0.0
    for ids, row in zip(scorer.seen[6:], result.rows, strict=True):
        after = ids[ids.index(middle) + 1 :]
        # PSM: all after the middle token.
        if ids[1] != tokenizer.infilling.suffix:
            assert row["middle_tokens"] == len(after)
            assert row["middle_nats"] == pytest.approx(nats(after))
        else:
            assert 1 <= row["middle_tokens"] <= len(after)
        total, tokens = total + row["middle_nats"], tokens + row["middle_tokens"]
    assert result.metrics["infilling_loss"].value == pytest.approx(total / tokens)
    assert {ids[1] == tokenizer.infilling.suffix for ids in scorer.seen[6:]} == {True, False}


def test_windows_keep_every_token_and_long_documents_are_not_filled(tokenizer: Any, corpus: Any) -> None:
    result = run(Even(tokenizer, context_length=50), corpus)
    assert "infilling_loss" not in result.metrics
    whole = run(Even(tokenizer), corpus)
    assert [row["tokens"] for row in result.rows] == [row["tokens"] for row in whole.rows]
    assert result.metrics["loss"].value == pytest.approx(whole.metrics["loss"].value)


def test_a_document_too_long_to_fill_is_reported(tokenizer: Any, corpus: Any) -> None:
    corpus.texts.append(corpus.texts[0] * 5)
    context = len(tokenizer.encode(corpus.texts[0])) + 20
    result = run(Even(tokenizer, context_length=context), corpus)
    assert result.notes and "1 of 7 documents" in result.notes[0]
    assert result.metrics["infilling_loss"].n == 6 and result.metrics["loss"].n == 7


def test_a_model_without_infilling_tokens_has_no_infilling_loss(plain_tokenizer: Any, corpus: Any) -> None:
    result = run(Even(plain_tokenizer), corpus, documents=4)
    assert result.metrics.keys() == {"loss", "bits_per_byte"}
    assert result.metrics["loss"].n == 4 and result.notes == []


def test_documents_are_cut_by_characters(tokenizer: Any, corpus: Any) -> None:
    result = run(Even(tokenizer), corpus, characters=100)
    assert {row["bytes"] for row in result.rows} == {100}


def test_what_is_missing_is_named(tokenizer: Any, oracle: Any, corpus: Any, measure: Any) -> None:
    with pytest.raises(UserError, match="validation: measures probabilities, which only a model in memory"):
        measure("validation", oracle(tokenizer, str), corpus=corpus)
    with pytest.raises(UserError, match="name a corpus"):
        measure("validation", Even(tokenizer))
    corpus.texts = []
    with pytest.raises(UserError, match="no held-out code"):
        run(Even(tokenizer), corpus)
