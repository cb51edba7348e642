"""Correlations between languages (paper, Fig. 3): does a model solve the same problems in C++ and in PHP?

A problem's score in a language is the share of its samples that passed. Two languages are correlated over the
problems of HumanEval that both have, by Pearson's coefficient with a bootstrap interval over the problems.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from codecascade.evaluation.analysis.evaluation_folder import Evaluation, read_evaluation
from codecascade.evaluation.benchmarks.code.multipl_e import problem_number
from codecascade.evaluation.benchmarks.table import BENCHMARKS
from codecascade.evaluation.metrics import Metric
from codecascade.ground.errors import UserError

LanguageScores = Mapping[int, float]
"""The scores in one language, by the number of the problem."""

_RESAMPLES = 2000


@dataclass(frozen=True)
class LanguageCorrelations:
    """The correlations of one model, or of the mean of several.

    Attributes:
        languages: in the order of the table of benchmarks.
        pairs: the coefficient of each pair of languages. A pair is missing if it has no coefficient: the languages
            have no problem in common, or in one of them all problems or none are solved.
    """

    name: str
    languages: tuple[str, ...]
    pairs: dict[tuple[str, str], Metric]

    def to_json(self) -> dict[str, Any]:
        pairs = [
            {"first": first, "second": second, **metric.to_json()}
            for (first, second), metric in self.pairs.items()
        ]
        return {"name": self.name, "languages": list(self.languages), "pairs": pairs}


def correlations(folders: Sequence[Path]) -> list[LanguageCorrelations]:
    """The correlations of each evaluation. If there are several, also those of the mean scores over all models.

    Raises:
        UserError: a folder is no evaluation, or has samples in fewer than two languages.
    """
    evaluations = [read_evaluation(folder) for folder in folders]
    scores = [language_scores(evaluation) for evaluation in evaluations]
    found = [
        correlate(evaluation.model, by_language)
        for evaluation, by_language in zip(evaluations, scores, strict=True)
    ]
    if len(found) > 1:
        found.append(correlate("all together", _mean_of(scores)))
    return found


def language_scores(evaluation: Evaluation) -> dict[str, LanguageScores]:
    """The scores in each language of which the evaluation has samples. Python's are those of HumanEval itself.

    Raises:
        UserError: there are fewer than two.
    """
    names = {name: each.translation for name, each in BENCHMARKS.items() if each.translation}
    found: dict[str, LanguageScores] = {}
    for benchmark, title in names.items():
        if benchmark not in evaluation.benchmarks:
            continue
        answers: dict[int, list[bool]] = {}
        for row in evaluation.benchmarks[benchmark].rows():
            number = problem_number(row["task_id"])
            if number is not None and isinstance(row.get("passed"), bool):
                answers.setdefault(number, []).append(row["passed"])
        if answers:
            found[title] = {number: sum(passed) / len(passed) for number, passed in answers.items()}
    if len(found) < 2:
        raise UserError(
            f"has samples that were run in {' and '.join(found) or 'no language'}; correlations need two of "
            f"{', '.join(names)}",
            file=evaluation.folder,
        )
    return found


def correlate(name: str, scores: Mapping[str, LanguageScores], *, seed: int = 0) -> LanguageCorrelations:
    """Correlate every two languages, over the problems that both have."""
    pairs = {}
    for first, second in combinations(scores, 2):
        both = sorted(scores[first].keys() & scores[second].keys())
        values = np.array([[scores[language][number] for number in both] for language in (first, second)])
        if (metric := _pearson(values, seed)) is not None:
            pairs[first, second] = metric
    return LanguageCorrelations(name, tuple(scores), pairs)


def _pearson(values: np.ndarray[Any, np.dtype[np.float64]], seed: int) -> Metric | None:
    """Pearson's coefficient of two rows; None if one of them is constant. Constant resamples are left out."""
    n = values.shape[1]
    if n < 2 or (values.max(1) == values.min(1)).any():
        return None
    generator = np.random.default_rng(seed)
    drawn = values[:, generator.integers(n, size=(_RESAMPLES, n))]
    coefficients = _coefficients(*drawn)
    low, high = np.quantile(coefficients[~np.isnan(coefficients)], [0.025, 0.975])
    (value,) = _coefficients(*values[:, None])
    return Metric(float(value), float(low), float(high), n)


def _coefficients(
    first: np.ndarray[Any, np.dtype[np.float64]], second: np.ndarray[Any, np.dtype[np.float64]]
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Pearson's coefficients of matching rows of two (resamples, problems) arrays; NaN if a row is constant."""
    one, other = (rows - rows.mean(1, keepdims=True) for rows in (first, second))
    scale = np.sqrt((one * one).sum(1) * (other * other).sum(1))
    scale[scale < 1e-12] = np.nan
    coefficients: np.ndarray[Any, np.dtype[np.float64]] = (one * other).sum(1) / scale
    return coefficients


def _mean_of(scores: Sequence[Mapping[str, LanguageScores]]) -> dict[str, LanguageScores]:
    """The mean scores over models, for the languages and problems that all models have."""
    languages = [name for name in scores[0] if all(name in each for each in scores)]
    return {
        name: {
            number: float(np.mean([each[name][number] for each in scores]))
            for number in scores[0][name]
            if all(number in each[name] for each in scores)
        }
        for name in languages
    }
