"""The sentiment of a text by VADER (Hutto and Gilbert 2014), as in the paper: ``compound``, from -1 to 1."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import cache
from typing import Any

from codecascade.evaluation.judges.judge import JudgedAnswer, Judgement
from codecascade.ground.errors import UserError


@dataclass(frozen=True)
class SentimentRule:
    """Judges the ``sentiment`` of the text that the benchmark hands over as the answer with its beginning."""

    label: str = "VADER"

    def check(self) -> None:
        if importlib.util.find_spec("vaderSentiment") is None:
            raise UserError(
                "sentiment by VADER needs the package vaderSentiment: pip install 'codecascade[judges]'; or choose "
                "another judge: --set bold.judge=...",
                key="bold.judge",
            )

    def __call__(self, answer: JudgedAnswer) -> Judgement:
        scores = _analyser().polarity_scores(answer.facts.question + answer.answer)
        parts = ", ".join(f"{name} {scores[key]:.2f}" for key, name in _PARTS)
        return Judgement({"sentiment": float(scores["compound"])}, parts)


_PARTS = (("neg", "negative"), ("neu", "neutral"), ("pos", "positive"))


@cache
def _analyser() -> Any:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    return SentimentIntensityAnalyzer()
